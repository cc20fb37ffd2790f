"""Admission: news of subscriptions that Graph never listed makes no record, and a crowd waits its turn."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.archiving import admission, worker
from shared.archiving.admission import MAX_WAITS, WAIT
from shared.ledger.record import Result
from shared.limits import SCAN_INTERVAL, UNKNOWN_IDS, Pacer
from shared.messages import signals, tasks
from shared.messages.signals import News, call_event_news, call_record_news
from shared.messages.tasks import MaintainSubscriptions, NotificationsRefused, RenewSubscription, Task
from shared.storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from shared.storage.heartbeat import REFUSED
from shared.storage.subscription_registry import KEPT, LISTED_EVERY, SubscriptionRegistry
from tests.support.simulated_app import DAY, HOUR, NOW, SETTINGS, App, call, running

OURS, GONE, INVENTED = (f"{digit}0000000-0000-4000-8000-000000000000" for digit in "123")
URL = f"{SETTINGS.notification_base_url}/notifications?k=12345678"


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def listed(subscription_id: str, url: str = URL) -> dict[str, Any]:
    return {
        "id": subscription_id,
        "resource": "communications/callRecords",
        "changeType": "created",
        "notificationUrl": url,
        "lifecycleNotificationUrl": f"{SETTINGS.notification_base_url}/lifecycle?k=12345678",
        "expirationDateTime": "2099-01-01T00:00:00Z",
    }


class Listing:
    """Graph's list of subscriptions, and how often it was asked for."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = items
        self.asked = 0

    def list_pages(self, path: str, operation: str) -> Iterator[list[dict[str, Any]]]:
        assert path == "subscriptions"
        self.asked += 1
        yield list(self.items)


def registry(app: App, listing: Listing) -> SubscriptionRegistry:
    graph: Any = listing
    return SubscriptionRegistry(app.services.state, graph, SETTINGS)


def messages(app: App) -> list[str]:
    return [each.text for each in app.queues[SIGNALS_QUEUE].messages]


def records(app: App) -> int:
    return len(app.state.below("signals/"))


def register(app: App, subscription_id: str) -> None:
    app.services.state.put(
        f"subscriptions/{subscription_id}.json", {"resource": "communications/callRecords"}
    )


def test_only_subscriptions_at_our_address_are_known(app: App) -> None:
    listing = Listing(listed(OURS), listed(GONE, "https://elsewhere.example/api/notifications?k=12345678"))
    known = registry(app, listing)
    assert [known.is_known(each) for each in (OURS, GONE)] == [True, False]
    entry = app.services.state.read(f"subscriptions/{OURS}.json")
    assert entry
    assert entry.content == {"resource": "communications/callRecords", "fingerprint": "12345678"}


def test_graph_is_asked_for_its_list_once_a_minute(app: App) -> None:
    listing = Listing()
    known = registry(app, listing)
    assert not any(known.is_known(f"{INVENTED}{number}") for number in range(500))
    assert listing.asked == 1
    listing.items = (listed(OURS),)
    assert not known.is_known(OURS)
    app.steps.now += timedelta(seconds=LISTED_EVERY)
    assert known.is_known(OURS)
    assert listing.asked == 2


def test_a_subscription_that_is_gone_is_known_as_long_as_its_news_may_come(app: App) -> None:
    known = registry(app, Listing(listed(OURS)))
    assert known.is_known(OURS)
    for later, is_registered in ((timedelta(), True), (KEPT, True), (KEPT + timedelta(minutes=1), False)):
        app.steps.now = NOW + later
        known.save([])
        assert known.is_registered(OURS) == is_registered


def test_news_of_an_unknown_subscription_makes_no_record(app: App) -> None:
    register(app, OURS)
    for subscription_id in (INVENTED, OURS):
        app.receive(
            SIGNALS_QUEUE,
            signals.serialize_message(
                call_record_news(subscription_id, NOW, subscription_id=subscription_id)
            ),
        )
    app.run(hours=0.1)
    assert [blob.name for blob in app.state.below("signals/")] == [f"signals/cr-{OURS}.json"]


def test_a_pack_of_invented_news_leaves_nothing(app: App) -> None:
    made = [call_record_news(f"{number}", NOW, subscription_id=INVENTED) for number in range(1_000)]
    for text in signals.pack_messages(made):
        app.receive(SIGNALS_QUEUE, text)
    app.run(hours=0.1)
    assert (records(app), messages(app)) == (0, [])


def test_a_subscription_of_a_pack_is_looked_up_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(app.services.subscriptions, "is_known", looked_up.append)  # returns None: unknown
    made = [call_record_news(f"{number}", NOW, subscription_id=INVENTED) for number in range(100)]
    (text,) = signals.pack_messages(made)
    worker.handle_signals(text, app.services)
    assert looked_up == [INVENTED]


def test_a_call_event_waits_for_its_subscription_ten_times_at_most(app: App) -> None:
    news = call_event_news("https://teams.microsoft.com/l/meetup-join/1", NOW, NOW, subscription_id=INVENTED)
    app.receive(SIGNALS_QUEUE, signals.serialize_message(news))
    waited = 0
    while messages(app):
        app.run(hours=WAIT / 3600)
        waited += 1
        assert records(app) == 0
        assert waited <= MAX_WAITS + 2
    assert waited >= MAX_WAITS


def test_a_call_event_is_handled_once_its_subscription_is_registered(app: App) -> None:
    news = call_event_news("https://teams.microsoft.com/l/meetup-join/1", NOW, NOW, subscription_id=OURS)
    app.receive(SIGNALS_QUEUE, signals.serialize_message(news))
    app.run(hours=WAIT / 3600)
    register(app, OURS)
    app.run(hours=3 * WAIT / 3600)
    assert records(app) == 1


def test_fifty_go_at_once_and_ten_a_second_after_them(app: App) -> None:
    pacer = Pacer(50, 10.0)
    delays = [pacer.delay() for _ in range(150)]
    assert delays[:50] == [0] * 50
    assert delays[50:] == sorted(delays[50:])
    assert delays[-1] == 10
    app.steps.now += timedelta(seconds=100)
    assert [pacer.delay() for _ in range(50)] == [0] * 50


def test_a_real_meeting_is_not_behind_a_thousand_invented_ones(app: App) -> None:
    """Its news comes alone, and is handled at once; most of a pack is hidden meanwhile."""
    register(app, OURS)
    made = [call_record_news(f"{number}", NOW, subscription_id=OURS) for number in range(1_000)]
    for text in signals.pack_messages(made):
        worker.handle_signals(text, app.services)
    hidden = [each for each in app.queues[SIGNALS_QUEUE].messages if each.due > app.now]
    assert len(hidden) == 950


@pytest.mark.parametrize("ids", [(), (INVENTED,)])
def test_a_strangers_guess_is_a_count(app: App, ids: tuple[str, ...]) -> None:
    app.receive(UPKEEP_QUEUE, tasks.serialize_task(Task(NotificationsRefused(3, ids))))
    app.run(hours=0.1)
    entry = app.services.state.read(REFUSED)
    assert entry
    assert entry.content["count"] == 3
    assert "ours" not in entry.content


def test_a_wrong_state_of_our_own_subscription_is_noted(app: App) -> None:
    register(app, OURS)
    app.receive(UPKEEP_QUEUE, tasks.serialize_task(Task(NotificationsRefused(3, (INVENTED, OURS)))))
    app.run(hours=0.1)
    entry = app.services.state.read(REFUSED)
    assert entry
    assert entry.content["ours"]["subscription"] == OURS


@pytest.mark.parametrize("job", [RenewSubscription(INVENTED), MaintainSubscriptions((INVENTED,))])
def test_an_invented_subscription_costs_no_renewal(
    app: App, job: RenewSubscription | MaintainSubscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.upkeep.maintain.maintain_all", lambda services: None)
    monkeypatch.setattr(
        "shared.subscriptions.maintain.get_subscription", lambda *_: pytest.fail("Graph was asked for it")
    )
    app.receive(UPKEEP_QUEUE, tasks.serialize_task(Task(job)))
    app.run(hours=0.1)
    assert not app.queues[UPKEEP_QUEUE].messages


def test_news_keeps_how_often_it_waited() -> None:
    news = call_record_news("a", NOW, subscription_id=OURS)
    assert isinstance(news, News)
    assert news.waits == 0


# Ids that Graph does not know


def invented(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


def announce_invented(app: App, count: int, first: int = 0) -> None:
    register(app, OURS)
    made = [
        call_record_news(invented(first + number), app.now, subscription_id=OURS) for number in range(count)
    ]
    for text in signals.pack_messages(made):
        app.receive(SIGNALS_QUEUE, text)


def test_an_id_that_graph_does_not_know_gets_few_and_slow_attempts(app: App) -> None:
    announce_invented(app, 1)
    app.run(days=40, every=6 * HOUR)
    asked = [when - NOW for when, operation in app.graph.seen if operation == "get call record"]
    assert asked[:4] == [timedelta(minutes=minutes) for minutes in (0, 1, 9, 73)]
    assert [round(each / DAY) for each in asked[4:]] == [2, 4, 8, 15, 31]
    (outcome,) = app.outcomes()
    assert (outcome.result, outcome.day, outcome.next) == (Result.NOT_FOUND, NOW.date(), None)
    assert outcome.is_unconfirmed
    manifest = app.manifest(NOW.date())
    assert (manifest.complete, manifest.outcomes, manifest.unconfirmed) == (True, {}, 1)


def test_after_many_unknown_ids_in_an_hour_news_is_left_to_a_scan(app: App) -> None:
    announce_invented(app, UNKNOWN_IDS + 200)
    app.run(hours=0.9)
    assert records(app) == UNKNOWN_IDS
    asked = [operation for _, operation in app.graph.seen if operation == "get call record"]
    assert len(asked) <= 3 * UNKNOWN_IDS
    app.run(hours=1)
    announce_invented(app, 10, first=5_000)
    app.run(hours=0.1)
    assert records(app) == UNKNOWN_IDS + 10


def test_a_pack_of_invented_news_costs_no_real_meeting_that_comes_alone_its_turn(app: App) -> None:
    announce_invented(app, 1_500)
    app.run(hours=0.1)
    app.calls.append(call("real", app.now - timedelta(minutes=10)))
    app.receive(
        SIGNALS_QUEUE, signals.serialize_message(call_record_news("real", app.now, subscription_id=OURS))
    )
    app.deliver()
    assert app.stored() == {"real"}


def test_a_real_meeting_that_is_left_to_a_scan_is_archived_within_minutes(app: App) -> None:
    register(app, OURS)
    for number in range(UNKNOWN_IDS + 50):
        news = call_record_news(invented(number), app.now, subscription_id=OURS)
        app.receive(SIGNALS_QUEUE, signals.serialize_message(news))
    app.run(hours=0.1)
    assert records(app) == UNKNOWN_IDS
    app.calls.append(call("real", app.now - timedelta(minutes=10)))
    app.receive(
        SIGNALS_QUEUE, signals.serialize_message(call_record_news("real", app.now, subscription_id=OURS))
    )
    app.run(hours=SCAN_INTERVAL / 3600, every=6 * HOUR)
    assert app.stored() == {"real"}


def test_a_real_meeting_that_graph_did_not_know_at_first_is_archived_when_it_is_listed(app: App) -> None:
    """Its outcome lies in the day of its end already, and says nothing of it."""
    register(app, OURS)
    app.calls.append(call("real", NOW - timedelta(minutes=10), readable=NOW + timedelta(minutes=20)))
    app.receive(SIGNALS_QUEUE, signals.serialize_message(call_record_news("real", NOW, subscription_id=OURS)))
    app.run(hours=0.3, every=DAY)
    (outcome,) = app.outcomes()
    assert (outcome.result, outcome.is_unconfirmed) == (Result.PENDING, True)
    app.run(hours=0.3, every=timedelta(minutes=5))  # before its next attempt
    assert app.results() == {"real": Result.STORED}
    assert not app.outcomes()[0].is_unconfirmed


def test_an_outcome_that_was_settled_before_graph_knew_of_it_is_reopened_when_it_is_listed(app: App) -> None:
    register(app, OURS)
    app.calls.append(call("real", NOW - timedelta(minutes=10), readable=NOW + timedelta(hours=5)))
    app.receive(SIGNALS_QUEUE, signals.serialize_message(call_record_news("real", NOW, subscription_id=OURS)))
    app.run(hours=4)
    assert app.results() == {"real": Result.NOT_FOUND}
    app.run(hours=3)
    assert app.results() == {"real": Result.STORED}


def test_what_is_signed_or_already_known_is_not_left_to_a_scan(app: App) -> None:
    for _ in range(UNKNOWN_IDS):
        app.services.news.alone.spend()
    event = call_event_news("https://teams.microsoft.com/l/meetup-join/1", NOW, NOW)
    assert not admission.is_left_to_sweep(event, app.services)
    assert not admission.is_left_to_sweep(signals.Nudge("cr-a", 1), app.services)
    assert admission.is_left_to_sweep(call_record_news("a", NOW), app.services)


def test_refused_news_leaves_one_line_a_minute(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "shared.logs.warning",
        lambda event, **fields: lines.append(fields) if event == "news.refused" else None,
    )
    for _ in range(500):
        news = call_record_news("a", NOW, subscription_id=INVENTED)
        worker.handle_signals(signals.serialize_message(news), app.services)
    app.steps.now += timedelta(minutes=2)
    worker.handle_signals(signals.serialize_message(news), app.services)
    assert [each["count"] for each in lines] == [1, 500]
