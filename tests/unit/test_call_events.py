"""Call events: one signal for one event however often it is delivered, and none of a meeting that nobody watches."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared.archiving import call_events
from shared.crypto.validation_tokens import TokenValidator
from shared.errors import AttendanceError, NotGenuine, Unavailable, UnknownKey
from shared.ledger.record import Result
from shared.messages.rich_notifications import FIELDS, EncryptedBatch, RichItem, pack_batch
from shared.storage.clients import SIGNALS_QUEUE
from shared.storage.watchlist import build_watched_meeting
from tests.support.simulated_app import NOW, ORGANIZER, App, running

URL = "https://teams.microsoft.com/l/meetup-join/1/0"
OTHER = "https://teams.microsoft.com/l/meetup-join/2/0"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    with running() as app:
        app.services.watch.add(build_watched_meeting(URL, ORGANIZER))
        yield app


def signals(app: App, monkeypatch: pytest.MonkeyPatch, data: Mapping[str, Any], url: str = URL) -> set[str]:
    """The signals queued by three deliveries of one event, minutes apart. Signature and cipher are tested elsewhere."""
    monkeypatch.setattr("shared.archiving.call_events.decryption.decrypt", lambda content, keys: data)
    services: Any = SimpleNamespace(
        validator=SimpleNamespace(verify=lambda tokens: None),
        keys=None,
        watch=app.services.watch,
        journal=app.services.journal,
    )
    for minutes in range(3):
        item = RichItem(url, {"data": str(minutes)}, "s")
        batch = EncryptedBatch((item,), ("t",), NOW + timedelta(minutes=minutes))
        call_events.enqueue_ended_calls(batch, services)
    return {each.text.split('"signalId":"')[1].split('"')[0] for each in app.queues[SIGNALS_QUEUE].messages}


@pytest.mark.parametrize("at", ["2026-11-24T20:55:00Z", "", None, "yesterday", "9999-12-31T23:59:59Z"])
def test_an_event_that_is_delivered_three_times_is_one_signal(
    app: App, monkeypatch: pytest.MonkeyPatch, at: str | None
) -> None:
    assert len(signals(app, monkeypatch, {"eventType": "callEnded", "eventDateTime": at})) == 1


def test_two_events_without_a_time_are_two_signals(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        found = signals(app, monkeypatch, {"eventType": "callEnded", "id": number})
    assert len(found) == 2


def test_a_meeting_that_nobody_watches_makes_no_signal(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"eventType": "callEnded", "eventDateTime": "2026-11-24T20:55:00Z"}
    assert signals(app, monkeypatch, data, OTHER) == set()


ENDED = {"eventType": "callEnded", "eventDateTime": "2026-11-24T20:55:00Z"}


def tried(
    app: App, monkeypatch: pytest.MonkeyPatch, *failures: AttendanceError, data: Mapping[str, Any] = ENDED
) -> list[timedelta]:
    """When an event was verified, whose verification fails so and then no more."""
    times, left = list[timedelta](), list(failures)

    def verify(self: object, tokens: object) -> None:
        times.append(app.now - NOW)
        if left:
            raise left.pop(0)

    monkeypatch.setattr(TokenValidator, "verify", verify)
    monkeypatch.setattr("shared.archiving.call_events.decryption.decrypt", lambda content, keys: data)
    content = dict.fromkeys(FIELDS, "x")
    batch = EncryptedBatch((RichItem(URL, content), RichItem(OTHER, content)), ("t",), NOW)
    for text in pack_batch(batch)[0]:
        app.receive(SIGNALS_QUEUE, text)
    app.run(hours=1.5, every=timedelta(days=1))
    return times


def recorded(app: App) -> int:
    return len(app.state.below("signals/ce-"))


def test_a_key_that_is_not_published_yet_is_waited_for(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(tried(app, monkeypatch, UnknownKey("x"), UnknownKey("x"))) == 3
    assert recorded(app) == 1


def test_a_key_that_nobody_publishes_is_waited_for_twice(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    times = tried(app, monkeypatch, *[UnknownKey("x")] * 9)
    assert [round(each / timedelta(minutes=5)) for each in times] == [0, 1, 2]
    assert recorded(app) == 0
    assert not app.queues[SIGNALS_QUEUE].messages


def test_events_survive_an_outage_of_the_sign_in(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    times = tried(app, monkeypatch, *[Unavailable("get signing keys", "x")] * 8)
    assert len(times) == 9
    assert recorded(app) == 1


def test_after_a_long_outage_of_the_sign_in_a_watched_meeting_is_recorded(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(app, monkeypatch, *[Unavailable("get signing keys", "x")] * 40)
    assert [each.result for each in app.outcomes()] == [Result.FAILED]


def test_a_forged_event_is_refused_at_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(tried(app, monkeypatch, NotGenuine("x"))) == 1
    assert recorded(app) == 0


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.9999999Z", "1601-01-01T00:00:00Z"])
def test_an_event_whose_time_cannot_be_true_has_an_outcome_in_the_day_it_came(
    app: App, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    tried(app, monkeypatch, data=ENDED | {"eventDateTime": at})
    assert recorded(app) == 1
    (outcome,) = app.outcomes()
    assert outcome.day == NOW.date()
