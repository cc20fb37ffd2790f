"""Failures while replacing: no unswept gap, no missing subscription.

Graph here is a double that allows one subscription per resource and change type, whatever its address; the same
through the front is in `test_subscribing`.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import times, upkeep
from shared.errors import (
    Conflict,
    GraphError,
    NotFound,
    Refused,
    SubscriptionError,
    Unavailable,
    ValidationFailed,
)
from shared.health import findings, self_check
from shared.ledger.record import Result
from shared.messages import tasks
from shared.messages.signals import EventKind
from shared.messages.tasks import Backfill, MaintainSubscriptions, Task
from shared.services import Services
from shared.settings import fingerprint
from shared.storage.heartbeat import MAINTENANCE
from shared.storage.watchlist import build_watched_meeting
from shared.subscriptions import maintain, status
from shared.subscriptions.desired import LIFETIME, event_subscription, meeting_subscriptions
from shared.subscriptions.status import Maintenance
from tests.support.simulated_app import ORGANIZER, SETTINGS, App, Crash, WatchedGraph, call, fail, running

MINUTE = timedelta(minutes=1)
ROTATED = replace(SETTINGS, client_state="the-next-state", client_state_previous=SETTINGS.client_state)
BASE = SETTINGS.notification_base_url
CALL_RECORDS = "communications/callRecords"


def unavailable() -> GraphError:
    return Unavailable("create subscription", "Graph asks for a retry", status=503)


def closed() -> GraphError:
    hint = "validation failed: Forbidden"
    return ValidationFailed("create subscription", "refused by Graph", status=400, hint=hint)


def timed_out() -> GraphError:
    return ValidationFailed(
        "create subscription", "refused by Graph", status=400, hint="validation timed out"
    )


@dataclass
class SubscriptionGraph(WatchedGraph):
    """Graph's `/subscriptions`; `faults` are the results of the next calls."""

    existing: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[Callable[[], BaseException]]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)  # expired, and still listed
    ids: Iterator[int] = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return self.steps.now

    def get(self, path: str, operation: str) -> dict[str, Any]:
        if path != "subscriptions":
            return super().get(path, operation)
        shown = [{**each, "clientState": None} for each in self.existing.values()]
        return {"value": shown}

    def post(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        self._meet("POST")
        topic = (body["resource"].lower(), body["changeType"])
        living = [each for name, each in self.existing.items() if name not in self.dead]
        if topic in [(each["resource"].lower(), each["changeType"]) for each in living]:
            raise Conflict(operation, "refused by Graph", status=409)
        made = {**body, "id": f"s{next(self.ids)}"}
        self.existing[made["id"]] = made
        return made

    def patch(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        self._meet("PATCH")
        self._one(path, operation).update(body)
        return {}

    def delete(self, path: str, operation: str) -> None:
        self._meet("DELETE")
        self._one(path, operation)
        del self.existing[path.rpartition("/")[2]]

    def _one(self, path: str, operation: str) -> dict[str, Any]:
        found = self.existing.get(path.rpartition("/")[2])
        if found is None:
            raise NotFound(operation, "refused by Graph", status=404)
        return found

    def _meet(self, method: str) -> None:
        self.done.append(method)
        if faults := self.faults.get(method):
            raise faults.pop(0)()


class Subscribed(App):
    """An installed app whose Graph keeps subscriptions."""

    graph: SubscriptionGraph

    def __init__(self) -> None:
        super().__init__()
        self.graph = SubscriptionGraph(self.steps, self.calls)
        self.services = self.another_instance()

    def maintain(self) -> str:
        """A run; its error, or "" where all is well."""
        try:
            maintain.maintain_all(self.services)
        except (SubscriptionError, GraphError) as failure:
            return str(failure)
        return ""

    def rotate(self) -> dict[str, Any]:
        """A subscription whose renewal is due after its client state was rotated."""
        assert self.maintain() == ""
        former = self.only()
        former["expirationDateTime"] = times.text(self.now + LIFETIME / 3)
        self.services = self.another_instance(ROTATED)
        self.queues["upkeep"].messages.clear()
        self.graph.done.clear()
        return former

    def only(self) -> dict[str, Any]:
        (one,) = self.graph.existing.values()
        return one

    def sweeps(self) -> list[Backfill]:
        """The sweeps that wait for their time."""
        jobs = [tasks.parse_task(each.text).job for each in self.queues["upkeep"].messages]
        return [job for job in jobs if isinstance(job, Backfill)]

    def last_run(self) -> Maintenance:
        run = status.read_last_run(self.services.state)
        assert run
        return run


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscribed]:
    monkeypatch.setattr(maintain, "check_handshake", lambda base: "")
    monkeypatch.setattr("tests.support.simulated_app.App", Subscribed)
    with running() as app:
        assert isinstance(app, Subscribed)
        yield app


def test_a_rotation_queues_a_sweep_then_deletes_then_creates(app: Subscribed) -> None:
    former = app.rotate()
    app.before("send upkeep", lambda: app.graph.done.append("sweep"))
    assert app.maintain() == ""
    assert app.graph.done == ["sweep", "DELETE", "POST"]
    assert (app.only()["id"] == former["id"], app.only()["clientState"]) == (False, "the-next-state")
    (sweep,) = app.sweeps()
    assert sweep.missing_only
    assert sweep.start < app.now < sweep.end
    (message,) = app.queues["upkeep"].messages
    assert message.due >= sweep.end - MINUTE


@pytest.mark.parametrize("failure", [unavailable, closed])
def test_where_the_create_fails_the_former_one_is_created_again(
    app: Subscribed, failure: Callable[[], GraphError]
) -> None:
    former = app.rotate()
    app.graph.faults["POST"] = [failure]
    error = app.maintain()
    assert "its successor could not be created (create subscription: " in error
    assert "The previous one was restored" in error
    again = app.only()
    for name in ("notificationUrl", "lifecycleNotificationUrl", "clientState", "resource", "changeType"):
        assert again[name] == former[name]
    assert again["notificationUrl"].endswith(f"?k={fingerprint(SETTINGS.client_state)}")
    assert app.last_run().problems == (error,)
    assert len(app.sweeps()) == 1
    app.graph.done.clear()
    assert app.maintain() == ""  # it delivers what we accept, so its renewal is soon enough
    assert app.graph.done == []


def test_where_neither_can_be_created_the_next_run_tries_again(app: Subscribed) -> None:
    app.rotate()
    app.graph.faults["POST"] = [unavailable, unavailable]
    assert "could not be restored" in app.maintain()
    assert not app.graph.existing
    assert app.maintain() == ""
    assert app.only()["clientState"] == "the-next-state"


def test_after_a_crash_between_delete_and_create_nothing_of_the_gap_is_lost(app: Subscribed) -> None:
    app.rotate()
    app.graph.faults["POST"] = [Crash]
    with pytest.raises(Crash):
        app.maintain()
    assert not app.graph.existing
    app.services = app.another_instance(ROTATED)
    app.calls.append(call("in-the-gap", app.now + 2 * MINUTE))  # and nobody is told
    app.run(hours=0.25, every=timedelta(days=1))
    assert app.maintain() == ""
    assert app.only()["clientState"] == "the-next-state"
    app.calls.append(call("at-its-end", app.now - 3 * MINUTE))
    app.run(hours=0.5, every=timedelta(days=1))
    assert app.results() == {"in-the-gap": Result.STORED, "at-its-end": Result.STORED}


def test_without_a_sweep_on_the_queue_nothing_is_deleted(app: Subscribed) -> None:
    former = app.rotate()
    app.before("send upkeep", fail)
    assert "The sweep that covers the gap could not be queued" in app.maintain()
    assert (app.only(), app.graph.done) == (former, [])


def test_the_first_run_of_all_queues_no_sweep(app: Subscribed) -> None:
    assert app.maintain() == ""
    assert app.sweeps() == []


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59.9999999", "1601-01-01T00:00:00"])
def test_a_webinar_whose_end_cannot_be_true_stops_no_renewal(
    app: Subscribed, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    app.services = app.another_instance(
        replace(SETTINGS, signals=frozenset({"call-records", "virtual-events"}))
    )
    resource = event_subscription(EventKind.WEBINAR, "a").resource
    assert app.maintain() == ""
    app.graph.existing["of-event"] = app.graph.existing["s0"] | {"id": "of-event", "resource": resource}
    for each in app.graph.existing.values():
        each["expirationDateTime"] = times.text(app.now + MINUTE)
    get = app.graph.get

    def answer(path: str, operation: str) -> dict[str, Any]:
        if operation != "get webinar":
            return get(path, operation)
        return {"id": "a", "status": "published", "endDateTime": {"dateTime": end, "timeZone": "UTC"}}

    monkeypatch.setattr(app.graph, "get", answer)
    assert app.maintain() == ""
    renewed = [times.parse(each["expirationDateTime"]) for each in app.graph.existing.values()]
    assert len(renewed) == 3
    assert all(expires and expires > app.now + MINUTE for expires in renewed)


def test_without_a_certificate_nothing_encrypted_is_deleted(app: Subscribed) -> None:
    settings = replace(SETTINGS, signals=frozenset({"call-events"}))
    app.services = app.another_instance(settings)  # without a key
    app.services.watch.add(build_watched_meeting("https://teams.microsoft.com/l/meetup-join/a/0", ORGANIZER))
    (desired,) = meeting_subscriptions(settings, app.services.watch.list_meetings())
    former = {
        "id": "former",
        "resource": desired.resource,
        "changeType": "updated",
        "notificationUrl": f"{BASE}/notifications?k=00000000",
        "expirationDateTime": times.text(app.now + LIFETIME),
    }
    app.graph.existing["former"] = former
    assert "ENCRYPTION_KEY_ID" in app.maintain()
    assert app.only() == former


def test_watched_meetings_that_cannot_be_read_are_a_problem_and_end_no_self_check(
    app: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.services = app.another_instance(replace(SETTINGS, signals=frozenset({"call-events"})))
    monkeypatch.setattr(app.services.watch, "list_meetings", fail)
    monkeypatch.setattr(self_check, "check_handshake", lambda *arguments: "")
    monkeypatch.setattr(self_check, "graph_token", lambda settings: fail())
    problem = "list subscriptions: the watched meetings cannot be read (ServiceRequestError)"
    assert app.maintain() == problem
    assert app.last_run().problems == (problem,)
    found = [each.text for each in self_check.check_app(app.services)]
    assert any(problem in each for each in found)


def test_a_missing_subscription_is_created_also_when_the_sweep_cannot_be_queued(app: Subscribed) -> None:
    assert app.maintain() == ""
    app.graph.existing.clear()
    app.before("send upkeep", fail)
    assert "could not be queued" in app.maintain()
    assert app.only()["resource"] == CALL_RECORDS


def test_the_former_one_is_not_created_again_where_its_client_state_is_unknown(app: Subscribed) -> None:
    app.rotate()
    app.services = app.another_instance(replace(ROTATED, client_state_previous=""))
    app.graph.faults["POST"] = [unavailable]
    assert "was not restored" in app.maintain()
    assert not app.graph.existing
    assert app.maintain() == ""


def test_one_without_a_lifecycle_address_is_replaced_and_gets_one_back(app: Subscribed) -> None:
    assert app.maintain() == ""
    app.only()["lifecycleNotificationUrl"] = None
    app.graph.faults["POST"] = [unavailable]
    assert "The previous one was restored" in app.maintain()
    assert app.only()["lifecycleNotificationUrl"].startswith(f"{BASE}/lifecycle")


@pytest.mark.parametrize("seconds", [0, 3 * 86_400])
def test_one_that_looks_expired_is_renewed_not_deleted(app: Subscribed, seconds: int) -> None:
    assert app.maintain() == ""
    app.only()["expirationDateTime"] = times.text(app.now - timedelta(seconds=seconds))
    app.graph.done.clear()
    assert app.maintain() == ""
    assert app.graph.done == ["PATCH"]
    assert app.last_run().subscriptions


def refused() -> GraphError:
    return Refused("renew subscription", "refused by Graph", status=400)


@pytest.mark.parametrize("left", [LIFETIME / 3, -MINUTE, -timedelta(days=3)])
def test_one_that_graph_does_not_renew_is_not_deleted_whatever_the_clock_says(
    app: Subscribed, left: timedelta
) -> None:
    assert app.maintain() == ""
    living = app.only()
    living["expirationDateTime"] = times.text(app.now + left)
    app.graph.faults["PATCH"] = [refused, refused]
    app.graph.done.clear()
    assert "renew" in app.maintain()
    assert "DELETE" not in app.graph.done
    assert app.only() == living


def test_one_that_graph_lists_although_it_has_expired_is_made_again(app: Subscribed) -> None:
    assert app.maintain() == ""
    dead = app.only()
    dead["expirationDateTime"] = times.text(app.now - MINUTE)
    app.graph.dead.add(dead["id"])
    app.graph.faults["PATCH"] = [refused]
    app.graph.done.clear()
    assert app.maintain() == ""
    assert app.graph.done == ["PATCH", "POST"]
    assert len(app.sweeps()) == 1
    assert app.maintain() == ""
    assert app.only()["id"] != dead["id"]


def test_a_run_queues_one_sweep_however_many_it_creates(app: Subscribed) -> None:
    both = frozenset({"call-records", "virtual-events"})
    app.services = app.another_instance(replace(SETTINGS, signals=both))
    assert app.maintain() == ""
    app.graph.existing.clear()
    assert app.maintain() == ""
    assert len(app.graph.existing) == 2
    assert len(app.sweeps()) == 1


def test_an_app_that_cannot_reach_its_own_address_subscribes_and_says_so(
    app: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = f"{BASE}/notifications answered 403, as an access restriction does"
    monkeypatch.setattr(maintain, "check_handshake", lambda base: problem)
    assert app.maintain() == ""
    run = app.last_run()
    assert (run.problems, run.own_handshake, run.validation) == ((), problem, "")
    assert findings.is_accepted_by_graph(run.subscriptions or (), run)
    assert app.maintain() == ""
    assert app.last_run().own_handshake == problem
    monkeypatch.setattr(maintain, "check_handshake", lambda base: "")
    assert app.maintain() == ""  # it creates nothing, and looks again because of the last result
    assert app.last_run().own_handshake == ""


def test_that_graph_cannot_reach_the_app_is_kept_until_it_can(app: Subscribed) -> None:
    app.graph.faults["POST"] = [closed]
    assert "validation failed: Forbidden" in app.maintain()
    assert "validation failed: Forbidden" in app.last_run().validation
    app.graph.faults["POST"] = [unavailable]  # which says nothing about the address
    assert app.maintain()
    assert "validation failed: Forbidden" in app.last_run().validation
    assert app.maintain() == ""
    assert app.last_run().validation == ""


def test_a_handshake_of_graphs_that_timed_out_is_asked_for_once_more(app: Subscribed) -> None:
    app.graph.faults["POST"] = [timed_out]
    assert app.maintain() == ""
    assert app.graph.done == ["POST", "POST"]
    app.graph.existing.clear()
    app.graph.done.clear()
    app.graph.faults["POST"] = [timed_out] * 9
    assert "validation timed out" in app.maintain()
    assert app.graph.done == ["POST", "POST"]


def test_the_last_run_that_cannot_be_read_stops_nobody(app: Subscribed) -> None:
    app.services.state.put(MAINTENANCE, {"at": 7})
    assert app.maintain() == ""
    assert app.only()


BOTH = frozenset({"call-records", "virtual-events"})
DUE = [
    *(f"event-{number}" for number in range(6)),
    "s0",
    "s1",
]  # the first expire soonest; s0 is to call records


def with_events_due(app: Subscribed) -> None:
    """Subscriptions that are due, most of them to the reports of an event."""
    app.services = app.another_instance(replace(SETTINGS, signals=BOTH))
    assert app.maintain() == ""
    for number, name in enumerate(DUE):
        resource = f"solutions/virtualEvents/webinars/{name}/getAttendanceReports"
        one = app.graph.existing.setdefault(
            name, {**app.graph.existing["s0"], "id": name, "resource": resource}
        )
        one["expirationDateTime"] = times.text(app.now + timedelta(minutes=60 + number))
    app.graph.refusal = lambda path, operation: unavailable() if operation == "get webinar" else None
    app.graph.done.clear()


def silent(app: Subscribed, seconds: int) -> GraphError:
    """Graph does not answer, for so long."""
    app.steps.now += timedelta(seconds=seconds)
    return unavailable()


def due(app: Subscribed) -> set[str]:
    soon = times.text(app.now + timedelta(hours=8))
    return {name for name, each in app.graph.existing.items() if each["expirationDateTime"] < soon}


def test_a_run_that_graph_does_not_answer_ends_in_time_and_says_what_is_left(app: Subscribed) -> None:
    with_events_due(app)
    app.graph.refusal = lambda path, operation: silent(app, 30) if operation == "get webinar" else None
    app.graph.faults["PATCH"] = [lambda: silent(app, 130)] * 8
    began = app.now
    error = app.maintain()
    assert app.now - began < timedelta(minutes=6)
    run = app.last_run()
    assert error.startswith("Subscription s0 was not renewed")
    assert len(run.left) == 7
    assert "over before 7 of its 8 changes" in error
    assert run.subscriptions


def test_the_most_urgent_change_comes_first(app: Subscribed) -> None:
    with_events_due(app)
    del app.graph.existing["s1"]
    app.graph.existing["former"] = {**app.graph.existing["s0"], "id": "former", "resource": "chats"}
    app.graph.done.clear()
    changed: list[str] = []
    patch = app.graph.patch

    def noted(path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        changed.append(path.rpartition("/")[2])
        return patch(path, operation, body)

    app.graph.patch = noted  # type: ignore[method-assign]
    assert app.maintain() == ""
    assert changed == ["s0", *DUE[:6]]
    assert app.graph.done == ["PATCH", "POST", *["PATCH"] * 6, "DELETE"]


def test_no_subscription_waits_for_ever_behind_those_that_graph_does_not_renew(app: Subscribed) -> None:
    with_events_due(app)
    broken = {"event-0", "event-1", "event-2"}
    patch = app.graph.patch

    def answer(path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.rpartition("/")[2] in broken:
            raise silent(app, 130)
        return patch(path, operation, body)

    app.graph.patch = answer  # type: ignore[method-assign]
    for _ in range(3):
        assert app.maintain()
    assert due(app) == broken
    broken.clear()
    assert app.maintain() == ""
    assert (due(app), app.last_run().left) == (set(), ())


def test_named_renewals_that_take_long_are_continued_by_another_task(
    app: Subscribed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_events_due(app)
    renewed: list[str] = []

    def slowly(services: Services, subscription_id: str) -> None:
        renewed.append(subscription_id)
        app.steps.now += timedelta(seconds=25)

    monkeypatch.setattr(maintain, "renew_one", slowly)
    app.receive("upkeep", tasks.serialize_task(Task(MaintainSubscriptions(tuple(DUE)))))
    executions = []
    while waiting := app.queues["upkeep"].messages:
        began = app.now
        upkeep.handle_task(waiting.pop(0).text, app.services)
        executions.append(app.now - began)
    assert max(executions) <= MINUTE
    assert renewed == DUE
    assert due(app) == set()


FAULTS = st.lists(st.sampled_from(["ok", "unavailable", "closed", "crash"]), min_size=1, max_size=8)


@given(faults=FAULTS, due=st.booleans())
def test_whatever_fails_a_later_run_leaves_exactly_one_that_we_accept(faults: list[str], due: bool) -> None:
    raised: dict[str, Callable[[], BaseException]] = {
        "unavailable": unavailable,
        "closed": closed,
        "crash": Crash,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maintain, "check_handshake", lambda base: "")
        patch.setattr("tests.support.simulated_app.App", Subscribed)
        with running() as app:
            assert isinstance(app, Subscribed)
            app.rotate()
            if not due:
                app.only()["notificationUrl"] = f"{BASE}/notifications?k=00000000"
            for fault in faults:
                app.graph.faults["POST"] = [raised[fault]] if fault in raised else []
                before = dict(app.graph.existing)
                try:
                    app.maintain()
                except Crash:
                    app.services = app.another_instance(ROTATED)
                if before.keys() - app.graph.existing.keys():
                    assert app.sweeps()
            app.graph.faults.clear()
            app.maintain()
            assert app.only()["clientState"] in ROTATED.client_states
