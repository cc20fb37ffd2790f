"""The scan of virtual events: a failing event does not stop the others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

import shared.graph.client
import shared.settings
from shared.errors import Throttled, Unavailable
from shared.graph.subscriptions import list_subscriptions
from shared.messages.signals import EventKind, EventSession, Origin, call_record_signal_id, report_signal_id
from shared.reconcile.call_records import MissingSignal, OutcomeIndex
from shared.reconcile.events import SKIP_AFTER, EventScan
from shared.reconcile.slices import Slice
from shared.services import Services
from shared.storage.scans import EventCursor, Scan
from tests.support.app_settings import ENVIRON

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SETTINGS = shared.settings.load(ENVIRON | {"SIGNALS": "virtual-events"})


class Graph:
    """Two webinars on a page each, held an hour ago; one is `broken`."""

    request_id = None

    def __init__(self, broken: dict[str, Exception] | None = None) -> None:
        self.broken = broken or {}
        self.asked: list[str] = []

    def get(self, path: str, operation: str) -> dict[str, Any]:
        self.asked.append(path)
        if path == "solutions/virtualEvents/webinars":
            return {"value": [self.event("a")], "@odata.nextLink": "https://graph/next"}
        if path == "https://graph/next":
            return {"value": [{"no": "id"}, self.event("b")]}
        return {"value": []}

    def event(self, event_id: str) -> dict[str, Any]:
        def at(moment: datetime) -> dict[str, str]:
            return {"dateTime": f"{moment:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}

        spans = {"startDateTime": at(NOW - timedelta(hours=2)), "endDateTime": at(NOW - timedelta(hours=1))}
        return {"id": event_id, "status": "published", "createdBy": {"user": {"id": "o"}}, **spans}

    def list_pages(self, path: str, operation: str) -> list[list[dict[str, Any]]]:
        self.asked.append(path)
        event_id = path.split("/")[3] if path.startswith("solutions") else ""
        if failure := self.broken.get(event_id):
            raise failure
        if path == "subscriptions":
            return [[]]
        if path.endswith("/sessions"):
            return [[{"id": f"s-{event_id}"}]]
        end = (NOW - timedelta(hours=1)).isoformat()
        return [[{"id": f"r-{event_id}", "meetingStartDateTime": end, "meetingEndDateTime": end}]]


class Queue:
    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, text: str, delay: int = 0) -> None:
        self.sent.append(text)


def scanned(
    graph: Graph, scan: Scan, monkeypatch: pytest.MonkeyPatch, known: set[str] | None = None
) -> tuple[Scan, list[MissingSignal], Queue]:
    """The scan afterwards, and what was announced."""
    found: list[MissingSignal] = []
    tasks = Queue()

    def announce(missing: list[MissingSignal], *_: object) -> list[MissingSignal]:
        found.extend(missing)
        return []

    monkeypatch.setattr("shared.reconcile.events.announce_missing", announce)
    registry = SimpleNamespace(listed=lambda: list_subscriptions(cast(shared.graph.client.Graph, graph)))
    known_services = SimpleNamespace(
        settings=SETTINGS, graph=graph, tasks=tasks, journal=None, subscriptions=registry
    )
    services = cast(Services, known_services)
    has = known or set()
    index = SimpleNamespace(find=lambda signal_id, _: "stored" if signal_id in has else None)
    work = Slice(scan, services)
    EventScan(work, cast(OutcomeIndex, index)).run()
    return work.scan, found, tasks


def scan(**changes: Any) -> Scan:
    made = Scan("full", NOW, NOW - DAY, NOW, next=NOW, events=EventCursor((EventKind.WEBINAR,)))
    return replace(made, **changes)


def test_each_report_without_an_outcome_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    done, found, tasks = scanned(Graph(), scan(), monkeypatch, {report_signal_id("r-a")})
    assert [each.signal_id for each in found] == [report_signal_id("r-b")]
    (meeting,) = [each.meeting for each in found]
    assert meeting.event == EventSession(EventKind.WEBINAR, "b", "s-b")
    assert (meeting.organizer_id, meeting.origin) == ("o", Origin.LIST)
    assert (done.events, done.records, done.missing) == (None, 2, 1)
    assert len(tasks.sent) == 2  # neither event has a subscription


def test_a_scan_goes_on_at_its_page_and_event(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    cursor = EventCursor((EventKind.WEBINAR,), "https://graph/next", 1)
    _, found, _ = scanned(graph, scan(events=cursor), monkeypatch)
    assert [each.signal_id for each in found] == [report_signal_id("r-b")]
    assert graph.asked[0] == "https://graph/next"


def test_one_event_that_fails_stops_the_scan_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable):
        scanned(Graph({"a": Unavailable("list sessions", "no")}), scan(), monkeypatch)


@pytest.mark.parametrize("failure", [Unavailable("list sessions", "no"), OverflowError("not said")])
def test_one_event_that_keeps_failing_is_passed_over_and_no_day_is_final(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    broken: dict[str, Exception] = {"a": failure}
    done, found, _ = scanned(Graph(broken), scan(failures=SKIP_AFTER), monkeypatch)
    assert [each.signal_id for each in found] == [report_signal_id("r-b")]
    assert {(NOW - DAY).date(), NOW.date()} <= set(done.unclear)


def test_throttling_is_never_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: dict[str, Exception] = {"a": Throttled("list sessions", "wait")}
    with pytest.raises(Throttled):
        scanned(Graph(broken), scan(failures=SKIP_AFTER), monkeypatch)


@pytest.mark.parametrize("name", ["startDateTime", "endDateTime"])
@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.9999999", "1601-01-01T00:00:00", "0001-01-02T00:00:00"])
def test_an_event_whose_time_cannot_be_true_does_not_stop_the_scan(
    monkeypatch: pytest.MonkeyPatch, name: str, at: str
) -> None:
    graph = Graph()
    odd = graph.event("a") | {name: {"dateTime": at, "timeZone": "UTC"}}
    event = graph.event
    monkeypatch.setattr(graph, "event", lambda event_id: odd if event_id == "a" else event(event_id))
    done, found, _ = scanned(graph, scan(), monkeypatch)
    assert [each.signal_id for each in found] == [report_signal_id("r-a"), report_signal_id("r-b")]
    assert done.events is None


def test_a_report_whose_id_no_message_can_name_is_skipped_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph = Graph()
    list_pages = graph.list_pages

    def pages(path: str, operation: str) -> list[list[dict[str, Any]]]:
        listed = list_pages(path, operation)
        if path.endswith("attendanceReports"):
            listed[0] += [listed[0][0] | {"id": each} for each in ("rep@x", "x" * 129, "r/1", "-r")]
        return listed

    monkeypatch.setattr(graph, "list_pages", pages)
    done, found, _ = scanned(graph, scan(), monkeypatch)
    assert [each.signal_id for each in found] == [report_signal_id("r-a"), report_signal_id("r-b")]
    assert caplog.text.count("record.unreadable") == 1 + 2 * 4  # one is an event without an id
    assert (done.missing, done.unclear) == (2, ())


def test_an_event_long_over_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    later = scan(start=NOW + 30 * DAY, end=NOW + 31 * DAY)
    _, found, _ = scanned(graph, later, monkeypatch)
    assert found == []
    assert not [path for path in graph.asked if path.endswith("/sessions")]


def test_ids_of_kinds_never_meet() -> None:
    assert call_record_signal_id("a") != report_signal_id("a")
