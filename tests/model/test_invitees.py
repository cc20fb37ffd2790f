"""Invitees and registrations from Graph to the table, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from shared.archiving.sources import MeetingSource
from shared.errors import AccessDenied, GraphError, NotFound, Throttled, Unavailable
from shared.graph.invitees import ListState
from shared.ledger.record import Result
from shared.messages.signals import EventKind, EventSession, report_news, serialize_message
from shared.settings import INVITEES, SCHEDULE, SUBJECT
from shared.storage.clients import SIGNALS_QUEUE
from shared.tables.columns import COLUMNS, Table
from tests.support.doubles import Call
from tests.support.parquet import files_of, read_table
from tests.support.simulated_app import HOUR, NOW, ORGANIZER, SETTINGS, App, call, running

FRIDA, OLAF = (f"{number}b081ef6-4792-4def-b2c9-c363a1bf41d5" for number in (8, 9))
FIRST = NOW.date()
WANTED = replace(SETTINGS, meeting_details=frozenset({SUBJECT, SCHEDULE, INVITEES}))
SESSION = EventSession(EventKind.WEBINAR, "event", "session")


def invited(*people: str) -> dict[str, Any]:
    """What an online meeting tells of those who were invited."""
    return {
        "participants": {
            "organizer": {
                "upn": "boss@contoso.example",
                "identity": {"user": {"id": ORGANIZER}},
                "role": "presenter",
            },
            "attendees": [
                {
                    "upn": f"{person[:4]}@contoso.example",
                    "identity": {"user": {"id": person}},
                    "role": "attendee",
                }
                for person in people
            ],
        }
    }


def held(
    call_id: str = "one", *, came: tuple[str, ...] = (FRIDA,), people: tuple[str, ...] = (FRIDA, OLAF)
) -> Call:
    made = call(call_id, NOW - HOUR)
    ((since, report),) = made.readings
    records = [{"id": each, "identity": {"id": each}, "emailAddress": ""} for each in came]
    report = {**report, "totalParticipantCount": len(records), "attendanceRecords": records}
    return replace(made, readings=((since, report),), meeting=invited(*people))


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        app.services = app.another_instance(WANTED)
        yield app


def lines(app: App, day: date = FIRST) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in app.container.blobs[f"manifests/date={day}/reports.jsonl"].body.splitlines()
    ]


def table(app: App, day: date = FIRST) -> list[dict[str, Any]]:
    """The rows of the invitees that the manifest of a day names."""
    manifest = app.manifest(day)
    assert manifest.has_tables
    paths = [each.path for each in files_of(manifest, Table.INVITEES)]
    return read_table(lambda path: app.container.blobs[path].body, paths)


def came(app: App, day: date = FIRST) -> dict[str | None, bool | None]:
    return {row["personKey"]: row["attended"] for row in table(app, day)}


def archive(app: App, days: float = 2.5, *calls: Call) -> None:
    app.calls[:] = calls or (held(),)
    for each in app.calls:
        app.announce(each.id)
    app.run(days=days)


def test_who_was_invited_and_did_not_come_is_in_the_table(app: App) -> None:
    archive(app)
    assert came(app) == {FRIDA: True, OLAF: False, ORGANIZER: False}
    (line,) = lines(app)
    assert (line["invitees"], line["inviteesState"]) == (3, "complete")
    assert {row["role"] for row in table(app) if row["personKey"] == ORGANIZER} == {"organizer"}
    (list_blob,) = app.container.below("invitees/")
    assert line["inviteesSha256"].startswith(list_blob.name.removesuffix(".json")[-16:])
    for blob in (*app.container.below("reports/"), *app.container.below("outcomes/"), *app.state.below("")):
        assert OLAF.encode() not in blob.body
        assert OLAF not in str(blob.metadata)


def test_a_meeting_costs_no_further_call_and_without_the_setting_nothing_is_kept() -> None:
    seen = []
    for settings in (SETTINGS, WANTED):
        with running() as app:
            app.services = app.another_instance(settings)
            archive(app)
            seen.append(app.graph.seen)
            is_wanted = settings is WANTED
            assert bool(app.container.below("invitees/")) is is_wanted
            assert bool(app.container.below("tables/invitees/")) is is_wanted
            assert [line["inviteesState"] for line in lines(app)] == ["complete" if is_wanted else None]
    assert seen[0] == seen[1]


def test_no_queue_and_no_log_names_an_invitee(app: App, caplog: pytest.LogCaptureFixture) -> None:
    texts = set()
    app.calls.append(held())
    app.announce("one")
    for _ in range(60):
        texts |= {each.text for queue in app.queues.values() for each in queue.messages}
        app.run(hours=1)
    assert app.container.below("invitees/")
    assert not [text for text in (*texts, caplog.text) if OLAF in text or "9b08@" in text]


def test_a_list_that_changed_makes_a_new_revision_and_the_old_list_goes(app: App) -> None:
    archive(app)
    before = app.manifest(FIRST)
    app.calls[:] = [held(people=(OLAF,))]
    app.ask("redrive", str(FIRST), str(FIRST), Result.STORED)
    app.run(days=0.5)
    after = app.manifest(FIRST)
    assert (after.revision, after.reasons) == (before.revision + 1, ("correction",))
    assert came(app) == {OLAF: False, ORGANIZER: False}
    app.run(days=1.5)
    assert len(app.container.below("invitees/")) == 1
    assert len(app.container.below("tables/invitees/date=")) == 1


def test_a_reading_that_says_the_same_makes_no_revision(app: App) -> None:
    archive(app)
    before = app.manifest(FIRST)
    app.calls[:] = [held(people=(OLAF, FRIDA))]
    app.ask("redrive", str(FIRST), str(FIRST), Result.STORED)
    app.run(days=1)
    assert app.manifest(FIRST).tables == before.tables


def test_of_a_list_that_is_gone_the_table_has_no_rows_and_is_written(app: App) -> None:
    def lose() -> None:
        (blob,) = app.container.below("invitees/")
        del app.container.blobs[blob.name]

    app.before("write manifests/", lose)
    archive(app)
    assert came(app) == {}


def test_a_crash_between_list_and_report_leaves_nothing_behind(app: App) -> None:
    def die() -> None:
        raise Unavailable("write", "the process ends")

    app.before("write reports/", die)
    archive(app)
    assert came(app)[FRIDA] is True
    assert len(app.container.below("invitees/")) == 1


def test_a_fault_of_the_product_costs_the_list_and_not_the_report(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(MeetingSource, "list_invitees", fail)
    archive(app)
    assert app.stored() == {"one"}
    assert [line["inviteesState"] for line in lines(app)] == ["failed"]


# Registrations


def registration(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"registration-{number}",
        "email": f"person{number}@fabrikam.example",
        "firstName": "Person",
        "lastName": str(number),
        "status": "registered",
        "registrationDateTime": "2026-11-20T08:00:00",
    } | changes


def webinar(app: App, registrations: Callable[[int], list[Any] | GraphError]) -> None:
    """Have Graph know a webinar with one report and these registrations."""
    usual = app.graph.get
    end = NOW - HOUR
    report = {
        "id": "r",
        "meetingStartDateTime": (end - HOUR).isoformat(),
        "meetingEndDateTime": end.isoformat(),
        "totalParticipantCount": 2,
        "attendanceRecords": [
            {"id": "a", "registrationId": "REGISTRATION-0", "emailAddress": None},
            {"id": "b", "registrationId": None, "emailAddress": "Person1@Fabrikam.Example"},
        ],
    }

    def get(path: str, operation: str) -> dict[str, Any]:
        url = urlsplit(path.removeprefix("https://graph/"))
        parts = [unquote(part) for part in url.path.split("/")]
        if parts[0] != "solutions":
            return usual(path, operation)
        app.graph.seen.append((app.now, operation))
        match parts[4:]:
            case ["sessions", "session"]:
                user = {"user": {"id": ORGANIZER}}
                zoned = {
                    name: {"dateTime": f"2026-11-24T{hour}:00:00", "timeZone": "Tokyo Standard Time"}
                    for name, hour in (("startDateTime", "04"), ("endDateTime", "05"))
                }
                return {"id": "session", "participants": {"organizer": {"identity": user}}, **zoned}
            case ["registrations"]:
                page = int(parse_qs(url.query).get("$skip", ["0"])[0])
                found = registrations(page)
                if isinstance(found, GraphError):
                    raise found
                link = f"https://graph/{url.path}?$skip={page + 1}"
                return {"value": found} | ({"@odata.nextLink": link} if found else {})
            case ["sessions", "session", "attendanceReports", "r"]:
                return report
        raise NotFound(operation, "not there", status=404)

    app.graph.get = get  # type: ignore[method-assign]
    app.receive(SIGNALS_QUEUE, serialize_message(report_news("r", SESSION, app.now)))


def pages(*found: list[Any]) -> Callable[[int], list[Any]]:
    return lambda page: found[page] if page < len(found) else []


def test_registrations_of_all_pages_are_in_the_table_each_once(app: App) -> None:
    last = registration(1)
    canceled = registration(2, status="canceled", cancelationDateTime="2026-11-21T08:00:00Z")
    webinar(
        app, pages([registration(0), last], [last, canceled, {"id": "bare"}], [registration(3, email="")])
    )
    app.run(days=2.5)
    rows = {row["registrationId"]: row for row in table(app)}
    assert {each: row["attended"] for each, row in rows.items()} == {
        "registration-0": True,
        "registration-1": True,
        "registration-2": False,
        "registration-3": False,
        "bare": False,
    }
    assert rows["registration-2"]["registrationStatus"] == "canceled"
    assert rows["registration-1"]["recordNumber"] == 1
    assert {row["kind"] for row in rows.values()} == {"registered"}
    assert list(table(app)[0]) == ["date", *COLUMNS[Table.INVITEES]]
    assert lines(app)[0]["scheduledStart"] == "2026-11-23T19:00:00.000Z"  # in Tokyo's time


def test_without_the_permission_the_report_is_stored_and_the_list_says_why(app: App) -> None:
    webinar(app, lambda _: AccessDenied("list registrations", "no", status=403))
    app.run(days=2.5)
    (line,) = lines(app)
    assert (line["id"], line["inviteesState"], line["inviteesSha256"]) == ("r", ListState.ACCESS_DENIED, None)
    assert table(app) == []
    assert [each.result for each in app.outcomes()] == [Result.STORED]


def test_registrations_that_are_throttled_are_read_later(app: App) -> None:
    open_at = app.now + 3 * HOUR

    def answer(page: int) -> list[Any] | GraphError:
        throttled = Throttled("list registrations", "wait", status=429)
        throttled.retry_after = 600.0
        return throttled if app.now < open_at else pages([registration(0)])(page)

    webinar(app, answer)
    app.run(hours=1)
    assert app.stored() == {"r"}
    app.run(days=2.5)
    assert [row["attended"] for row in table(app)] == [True]
    asked = [operation for _, operation in app.graph.seen if operation == "list registrations"]
    assert len(asked) <= 10


def test_registrations_that_never_come_leave_the_report_as_it_is(app: App) -> None:
    webinar(app, lambda _: Unavailable("list registrations", "down", status=503))
    app.run(days=4)
    assert [each.result for each in app.outcomes()] == [Result.STORED]
    assert [line["inviteesState"] for line in lines(app)] == ["failed"]
    asked = [at for at, operation in app.graph.seen if operation == "list registrations"]
    assert asked[-1] - asked[0] <= timedelta(seconds=SETTINGS.retry_window)
    assert len(asked) < 40


def test_a_failure_at_the_second_reading_leaves_the_list(app: App) -> None:
    is_first = [True]

    def answer(page: int) -> list[Any] | GraphError:
        if page == 0 and not is_first.pop():
            is_first.append(False)
            return Unavailable("list registrations", "down", status=503)
        is_first.append(page == 0 and not is_first)
        return pages([registration(0)])(page)

    webinar(app, answer)
    app.run(days=2.5)
    assert [line["inviteesState"] for line in lines(app)] == ["complete"]
