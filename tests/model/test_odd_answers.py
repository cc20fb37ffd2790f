"""What Graph may send that decides nothing yet, or says less than before: nothing is settled too soon, or gets worse.

Each test is a history that once lost a meeting or a part of a report; docs/graph-oddities.md lists them by kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import times
from shared.days.sealing import ready_at
from shared.ledger.record import Purpose, Record, Result
from shared.settings import Settings
from shared.storage import clients
from shared.tables.columns import Table
from tests.support.doubles import Call
from tests.support.parquet import files_of, read_table
from tests.support.simulated_app import DAY, HOUR, NOW, SETTINGS, App, call, running

MINUTE = timedelta(minutes=1)
JUST_NOW = NOW - 10 * MINUTE
WINDOW = timedelta(seconds=SETTINGS.retry_window)
CONFIRM = timedelta(seconds=SETTINGS.confirm_after)
LONG_AGO = NOW - 3 * DAY
TOMORROW_NIGHT = datetime(2026, 11, 25, tzinfo=UTC)  # midnight, three hours ahead


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def outcome(app: App, call_id: str = "one") -> Record:
    (found,) = [each for each in app.outcomes() if each.signal_id == f"cr-{call_id}"]
    return found


def record(app: App, call_id: str = "one") -> Record:
    stored = app.services.journal.ledger.read(f"cr-{call_id}")
    assert stored
    return stored.record


def asked(app: App, operation: str) -> list[timedelta]:
    """When Graph was asked, as times after the beginning."""
    return [moment - NOW for moment, each in app.graph.seen if each == operation]


def until(app: App, moment: datetime, *, every: timedelta = HOUR) -> None:
    app.run(hours=(moment - app.now) / HOUR, every=every)


def nobody_crashed(app: App) -> bool:
    """Whether no message has come twice, and none is poison."""
    return not any(each.received for queue in app.queues.values() for each in queue.messages) and not any(
        app.queues[f"{clients.SIGNALS_QUEUE}-poison"].messages
    )


# 1. Settled too soon


def revised(at: timedelta, unlisted: tuple[str, ...] = (), **first: Any) -> Call:
    """A call whose record is of version 2 from a time on, and before that of version 1, with these values."""
    made = call("one", JUST_NOW)
    lacks = [name for name, value in first.items() if value is ...]
    version_2 = made.record | {"version": 2, "unlisted": unlisted}
    version_1 = {
        name: value for name, value in (version_2 | {"version": 1} | first).items() if name not in lacks
    }
    return replace(made, record=version_2, earlier=(NOW + at, version_1))


FIRST_VERSIONS: list[dict[str, Any]] = [
    {"joinWebUrl": None},
    {"joinWebUrl": ...},
    {"joinWebUrl": ..., "type": ...},
    {"joinWebUrl": None, "type": "unknown"},
    {"joinWebUrl": None, "type": "unknownFutureValue"},
    {"joinWebUrl": None, "type": None},
    {"endDateTime": None},
    {"endDateTime": "0001-01-01T00:00:00Z", "type": None},
]


@pytest.mark.parametrize("first", FIRST_VERSIONS, ids=str)
def test_a_first_version_that_lacks_what_the_second_has_decides_nothing(
    app: App, first: dict[str, Any]
) -> None:
    app.calls.append(revised(2 * HOUR, **first))
    app.announce("one")
    app.run(hours=1)
    assert outcome(app).result is Result.PENDING
    app.run(hours=4)
    assert outcome(app).result is Result.STORED
    assert app.stored() == {"one"}


NO_CALL_RECORDS: list[dict[str, Any]] = [
    {},
    {"error": {"code": "UnknownError", "message": ""}},
    {"id": "another", "type": "peerToPeer"},
    {"id": None, "type": "peerToPeer"},
    {"value": []},
]


@pytest.mark.parametrize("body", NO_CALL_RECORDS, ids=str)
def test_an_answer_that_is_not_the_call_record_decides_nothing(app: App, body: dict[str, Any]) -> None:
    app.calls.append(call("one", JUST_NOW))
    app.graph.answer = lambda path, content: (
        body if path.endswith("callRecords/one") and app.now < NOW + 2 * HOUR else content
    )
    app.announce("one")
    app.run(hours=1)
    assert outcome(app).result is Result.PENDING
    app.run(hours=4)
    assert outcome(app).result is Result.STORED


@pytest.mark.parametrize("body", NO_CALL_RECORDS, ids=str)
def test_an_answer_that_never_is_the_call_record_is_failed_and_looked_at_again(
    app: App, body: dict[str, Any]
) -> None:
    app.calls.append(replace(call("one", JUST_NOW), listed=None))
    app.graph.answer = lambda path, content: body if path.endswith("callRecords/one") else content
    app.announce("one")
    until(app, NOW + WINDOW + HOUR)
    settled = outcome(app)
    assert (settled.result, settled.last_error is None) == (Result.FAILED, False)
    assert settled.next


@pytest.mark.parametrize("kind", ["unknown", "unknownFutureValue", "GroupCall", None, 7, ...], ids=str)
def test_a_join_url_makes_a_meeting_at_once_whatever_the_type_says(app: App, kind: object) -> None:
    made = call("one", JUST_NOW)
    app.calls.append(made)
    made.record.pop("type")
    if kind is not ...:
        made.record["type"] = kind
    app.announce("one")
    app.deliver()
    assert (outcome(app).result, outcome(app).attempt) == (Result.STORED, 1)


@pytest.mark.parametrize("kind", ["peerToPeer", "PeerToPeer", "PEERTOPEER"])
@pytest.mark.parametrize("by", ["news", "sweep"])
def test_a_call_between_people_is_settled_at_once_and_for_good(app: App, kind: str, by: str) -> None:
    made = call("one", JUST_NOW)
    made.record.update(type=kind, joinWebUrl=None)
    app.calls.append(made)
    if by == "news":
        app.announce("one")
    app.run(hours=1)
    assert (outcome(app).result, outcome(app).next) == (Result.NOT_A_MEETING, None)
    assert len(asked(app, "get call record")) == (by == "news")


@pytest.mark.parametrize("kind", ["groupCall", "unknown"])
def test_a_group_call_without_a_join_url_is_no_meeting_after_the_window_and_looked_at_again(
    app: App, kind: str
) -> None:
    made = call("one", JUST_NOW)
    made.record.update(type=kind, joinWebUrl=None)
    app.calls.append(made)
    app.announce("one")
    until(app, NOW + WINDOW - MINUTE)
    assert outcome(app).result is Result.PENDING
    tries = asked(app, "get call record")
    assert [each // MINUTE for each in tries[:6]] == [0, 1, 3, 7, 15, 31]  # growing delays
    assert len(tries) < 15
    until(app, NOW + 34 * DAY, every=3 * HOUR)
    assert outcome(app).result is Result.NOT_A_MEETING
    assert "no join URL" in (outcome(app).last_error or "")
    looks = {(each - WINDOW) // DAY for each in asked(app, "get call record")}
    assert {days for days in looks if days > 0} == {1, 3, 7, 14, 30}


@pytest.mark.parametrize("kind", ["peerToPeer", "groupCall"], ids=["sure", "unsure"])
def test_the_sweep_finds_the_version_that_has_a_join_url(app: App, kind: str) -> None:
    """Of later versions Graph sends no news to a subscription for `created`."""
    change = WINDOW + 2 * HOUR
    app.calls.append(revised(change, joinWebUrl=None, type=kind))
    app.announce("one")
    until(app, NOW + change)
    assert outcome(app).result is Result.NOT_A_MEETING
    until(app, NOW + change + 26 * HOUR)
    assert outcome(app).result is Result.STORED
    assert outcome(app).meeting.version == 2


@pytest.mark.parametrize("way", ["redrive", "backfill"])
@pytest.mark.parametrize("kind", ["peerToPeer", "groupCall"], ids=["sure", "unsure"])
def test_a_redrive_and_a_backfill_ask_for_the_call_record_again(app: App, way: str, kind: str) -> None:
    """Also where the list does not show what has changed."""
    change = WINDOW + 2 * HOUR
    app.calls.append(revised(change, ("joinWebUrl", "type", "version"), joinWebUrl=None, type=kind))
    app.announce("one")
    until(app, NOW + change + MINUTE)
    assert outcome(app).result is Result.NOT_A_MEETING
    app.ask(way, "2026-11-24", "2026-11-25", *([Result.NOT_A_MEETING] if way == "redrive" else []))
    app.deliver()
    assert outcome(app).result is Result.STORED


def test_a_redrive_of_what_is_stored_reads_the_later_version_of_its_call_record(app: App) -> None:
    app.calls.append(revised(WINDOW, ("version",)))
    app.announce("one")
    until(app, NOW + WINDOW + MINUTE)
    assert (outcome(app).result, record(app).meeting.version) == (Result.STORED, 1)
    app.ask("redrive", "2026-11-24", "2026-11-25", Result.STORED)
    app.deliver()
    assert (outcome(app).result, record(app).meeting.version) == (Result.STORED, 2)


def test_what_agrees_with_the_list_is_not_read(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        made = call(f"call-{number}", JUST_NOW)
        made.record.update(version=2)
        app.calls.append(made)
    between_people = call("between-people", JUST_NOW)
    between_people.record.update(joinWebUrl=None, type="peerToPeer")
    app.calls.append(between_people)
    until(app, NOW + 6 * HOUR)
    read: list[str] = []
    download = app.state.download_blob

    def noted(name: str, **known: Any) -> Any:
        read.append(name)
        return download(name, **known)

    monkeypatch.setattr(app.state, "download_blob", noted)
    app.run(hours=3)
    assert not [name for name in read if name.startswith("signals/")]


def test_a_list_that_contradicts_the_call_record_of_the_same_version_is_asked_about_once(app: App) -> None:
    made = call("one", JUST_NOW)
    made.record.update(version=1)
    app.calls.append(made)
    between_people = {"type": "peerToPeer", "joinWebUrl": None}
    app.graph.answer = lambda path, content: (
        content | between_people if path.endswith("callRecords/one") else content
    )
    app.announce("one")
    app.run(days=3)
    assert outcome(app).result is Result.NOT_A_MEETING
    assert len(asked(app, "get call record")) == 1


def test_a_list_that_is_ahead_of_the_call_record_is_believed(app: App) -> None:
    made = call("one", JUST_NOW)
    made.record.update(version=2)
    app.calls.append(made)
    first = {"version": 1, "type": "peerToPeer", "joinWebUrl": None}
    app.graph.answer = lambda path, content: content | first if path.endswith("callRecords/one") else content
    app.announce("one")
    app.deliver()
    assert outcome(app).result is Result.NOT_A_MEETING
    app.run(hours=2)
    assert outcome(app).result is Result.STORED
    assert len(asked(app, "get call record")) == 2


OTHERS = replace(SETTINGS, organizers=frozenset({"bbbbbbbb-0000-4000-8000-000000000000"}))
ELSEWHERE = replace(SETTINGS, tenant_id="99999999-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("before", "result"),
    [(OTHERS, Result.OUT_OF_SCOPE), (ELSEWHERE, Result.EXTERNAL_ORGANIZER)],
    ids=["ORGANIZERS", "TENANT_ID"],
)
def test_what_the_organizer_decided_is_reopened_when_the_settings_change(
    app: App, before: Settings, result: Result
) -> None:
    app.calls += [call("one", LONG_AGO), call("two", LONG_AGO)]
    app.services = app.another_instance(before)
    app.announce("one")
    app.run(hours=3)
    assert app.results() == {"one": result, "two": result}
    known = len(asked(app, "get call record"))
    app.run(days=2)
    assert len(asked(app, "get call record")) == known  # nothing has changed
    app.services = app.another_instance()
    app.run(hours=2)
    assert app.results() == {"one": Result.STORED, "two": Result.STORED}


def moving(first: datetime, second: datetime, moves: datetime) -> Call:
    """A call whose end moves with its second version, and its report's with it."""
    made, later = call("one", first), call("one", second)
    begin = times.text(min(first, second) - 30 * MINUTE)
    versions = [
        each.record | {"version": number, "startDateTime": begin} for number, each in ((1, made), (2, later))
    ]
    reports = [each.readings[0][1] | {"meetingStartDateTime": begin} for each in (made, later)]
    readable = first + 2 * MINUTE
    return replace(
        made,
        record=versions[1],
        readable=readable,
        listed=readable,
        earlier=(moves, versions[0]),
        readings=((readable, reports[0]), (moves, reports[1])),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [(-10, 10), (10, -10), (-400, 300)],
    ids=["into the next day", "back into the day before", "by hours"],
)
@pytest.mark.parametrize("later", [30, 60 * 26], ids=["soon", "a day later"])
def test_the_end_of_a_call_that_moves_leaves_one_outcome_in_its_day_naming_one_blob(
    app: App, first: int, second: int, later: int
) -> None:
    ends = [TOMORROW_NIGHT + number * MINUTE for number in (first, second)]
    app.calls.append(moving(ends[0], ends[1], max(ends) + later * MINUTE))
    until(app, ends[0] + 5 * MINUTE)
    app.announce("one")
    until(app, max(ends) + 3 * DAY)
    (blob,) = app.container.below("outcomes/")
    assert f"date={ends[1].date()}" in blob.name
    (report,) = app.container.below("reports/")
    assert report.name == f"reports/date={ends[1].date()}/one.json"
    assert [each.path for each in outcome(app).reports] == [report.name]


@pytest.mark.parametrize("seconds", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("listed", ["cut", "rounded"])
def test_a_list_in_whole_seconds_does_not_move_an_outcome_over_midnight(
    app: App, seconds: float, listed: str
) -> None:
    end = TOMORROW_NIGHT + timedelta(seconds=seconds)
    made = call("one", end)
    made.record.update(version=1, endDateTime=times.text(end))
    whole = end if listed == "cut" else end + timedelta(seconds=0.5)
    told = {"endDateTime": times.text(whole.replace(microsecond=0))}

    def answer(path: str, content: dict[str, Any]) -> dict[str, Any]:
        if "callRecords?" in path:
            return content | {"value": [each | told for each in content["value"]]}
        return content

    app.graph.answer = answer
    app.calls.append(made)
    until(app, end + 5 * MINUTE)
    app.announce("one")
    app.run(days=2)
    assert outcome(app).day == end.date()
    assert asked(app, "get call record") == asked(app, "get call record")[:1]


# 2. Never worse


def report_of(app: App, call_id: str = "one") -> dict[str, Any]:
    (blob,) = [each for each in app.container.below("reports/") if each.name.endswith(f"/{call_id}.json")]
    content: dict[str, Any] = json.loads(blob.body)
    return content


def people(app: App) -> int:
    return len(report_of(app)["attendanceRecords"])


def meeting_of(people: int, ended: datetime = JUST_NOW, call_id: str = "one") -> Call:
    """A call whose report has so many people."""
    made = call(call_id, ended)
    ((ready, report),) = made.readings
    everyone = [{"id": f"person {number:03}"} for number in range(people)]
    return replace(
        made, readings=((ready, report | {"totalParticipantCount": people, "attendanceRecords": everyone}),)
    )


def losing(
    shown: int, when: Callable[[], bool], *, is_counted: bool = False
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Answers with no more than so many records, as where a next link was lost; or counted as if these were all."""

    def answer(path: str, content: dict[str, Any]) -> dict[str, Any]:
        if "attendanceReports/" not in path or not when():
            return content
        name = "value" if path.endswith("/attendanceRecords") else "attendanceRecords"
        known = {name: content[name][:shown]}
        return content | known | ({"totalParticipantCount": shown} if is_counted else {})

    return answer


def readings(app: App) -> list[timedelta]:
    return asked(app, "get attendance report")


@pytest.mark.parametrize("confirm_after", [SETTINGS.confirm_after, 0, 7200])
def test_a_partial_reading_is_stored_marked_and_read_again_four_times(app: App, confirm_after: int) -> None:
    """Then it stays partial, for Graph's count may differ for ever; the day is sealed all the same."""
    app.services = app.another_instance(replace(SETTINGS, confirm_after=confirm_after))
    app.calls.append(meeting_of(450))
    app.graph.answer = losing(200, lambda: True)
    app.announce("one")
    app.deliver()
    assert people(app) == 200
    assert [each.is_partial for each in outcome(app).reports] == [True]
    app.run(days=20, every=3 * HOUR)
    first = timedelta(seconds=confirm_after or 4 * 3600)
    assert [each // MINUTE for each in readings(app)] == [
        each // MINUTE for each in (timedelta(), first, DAY, 3 * DAY, 7 * DAY)
    ]
    assert outcome(app).next is None
    (blob,) = app.container.below("reports/")
    assert blob.metadata["partial"] == "true"
    assert (blob.metadata["records"], blob.metadata["participants"]) == ("200", "450")
    manifest = app.manifest(JUST_NOW.date())
    assert (manifest.complete, manifest.reports, manifest.partial) == (True, 1, 1)
    (index,) = [
        each
        for each in app.container.below("manifests/")
        if each.name.endswith("reports.jsonl") and each.body
    ]
    assert json.loads(index.body)["partial"] is True


def test_a_report_that_counts_people_and_shows_none_has_their_own_list_read(app: App) -> None:
    app.calls.append(meeting_of(250))
    app.graph.answer = lambda path, content: (
        content | {"attendanceRecords": []} if path.endswith("$expand=attendanceRecords") else content
    )
    app.announce("one")
    app.deliver()
    assert people(app) == 250
    assert [each.is_partial for each in outcome(app).reports] == [False]


@pytest.mark.parametrize("whole_from", [2, 20, 50, 160], ids=lambda hours: f"after {hours} hours")
def test_a_partial_report_is_replaced_when_it_is_whole(app: App, whole_from: int) -> None:
    app.calls.append(meeting_of(450))
    app.graph.answer = losing(200, lambda: app.now < NOW + whole_from * HOUR)
    app.announce("one")
    app.run(days=9, every=3 * HOUR)
    assert people(app) == 450
    (blob,) = app.container.below("reports/")
    assert "partial" not in blob.metadata
    assert [each.is_partial for each in outcome(app).reports] == [False]
    assert app.manifest(JUST_NOW.date()).partial == 0


@pytest.mark.parametrize("way", ["redrive", "backfill", "another call record"])
@pytest.mark.parametrize("shown", [0, 7, 249])
def test_a_partial_reading_never_replaces_one_with_more_records_however_often_it_comes(
    app: App, way: str, shown: int
) -> None:
    app.calls.append(meeting_of(250, LONG_AGO))
    app.announce("one")
    app.run(hours=2)
    assert people(app) == 250
    app.graph.answer = losing(shown, lambda: True)
    for number in range(4):
        if way == "another call record":
            again = meeting_of(250, LONG_AGO, f"again-{number}")
            again.record["joinWebUrl"] = app.calls[0].record["joinWebUrl"]
            app.calls.append(replace(again, readings=app.calls[0].readings))
            app.announce(again.id)
        elif way == "redrive":
            app.ask(way, "2026-11-20", "2026-11-22", Result.STORED)
        else:
            app.ask(way, "2026-11-20", "2026-11-22")
        app.run(hours=5)
    assert len(readings(app)) >= 5
    assert people(app) == 250
    assert "partial" not in app.container.below("reports/")[0].metadata
    for each in app.outcomes():
        assert [(one.id, one.is_partial) for one in each.reports] == [("one", False)]


def test_a_whole_but_smaller_report_replaces_after_an_equal_reading_an_hour_later(app: App) -> None:
    app.calls.append(meeting_of(250, LONG_AGO))
    app.announce("one")
    app.run(hours=2)
    app.graph.answer = losing(7, lambda: True, is_counted=True)
    app.ask("redrive", "2026-11-20", "2026-11-22", Result.STORED)
    app.deliver()
    assert people(app) == 250
    (candidate,) = record(app).candidates
    assert candidate.report_id == "one"
    waiting = record(app).next
    assert waiting
    assert (waiting.purpose, waiting.at - app.now) == (Purpose.CONFIRM, HOUR)
    app.run(hours=0.9)
    assert people(app) == 250
    app.run(hours=0.2)
    assert people(app) == 7
    assert record(app).candidates == ()


def test_a_smaller_reading_that_is_not_made_again_replaces_nothing(app: App) -> None:
    app.calls.append(meeting_of(250, LONG_AGO))
    app.announce("one")
    app.run(hours=2)
    small_until = app.now + HOUR / 2
    app.graph.answer = losing(7, lambda: app.now < small_until, is_counted=True)
    app.ask("redrive", "2026-11-20", "2026-11-22", Result.STORED)
    app.run(hours=3)
    assert people(app) == 250
    assert (record(app).candidates, record(app).next) == ((), None)


def test_smaller_readings_that_are_never_equal_end(app: App) -> None:
    app.calls.append(meeting_of(250, LONG_AGO))
    app.announce("one")
    app.run(hours=2)
    before = len(readings(app))

    def answer(path: str, content: dict[str, Any]) -> dict[str, Any]:
        shown = 100 - len(readings(app))
        return losing(shown, lambda: True, is_counted=True)(path, content)

    app.graph.answer = answer
    app.ask("redrive", "2026-11-20", "2026-11-22", Result.STORED)
    app.run(days=3)
    assert people(app) == 250
    assert (record(app).candidates, record(app).next) == ((), None)
    assert len(readings(app)) - before <= 8


def test_the_candidates_of_other_signals_do_not_count(app: App) -> None:
    """Two call records of one session, each of which has read the smaller report once."""
    app.calls.append(meeting_of(250, LONG_AGO))
    second = meeting_of(250, LONG_AGO, "two")
    second.record["joinWebUrl"] = app.calls[0].record["joinWebUrl"]
    app.calls.append(replace(second, readings=app.calls[0].readings))
    for name in ("one", "two"):
        app.announce(name)
    app.run(hours=2)
    small = app.now
    app.graph.answer = losing(7, lambda: app.now <= small + 5 * MINUTE or len(once) < 2, is_counted=True)
    once: list[str] = []
    for name in ("one", "two"):
        once.append(name)
        app.ask("redrive", "2026-11-20", "2026-11-22", Result.STORED)
        app.deliver()
    assert people(app) == 250
    app.run(hours=5)
    assert people(app) == 250


def test_a_report_that_ends_before_its_call_is_read_once_more_however_old_it_is(app: App) -> None:
    """An end 11 minutes early is within the tolerance for clocks, and may be that of a meeting that went on."""
    made = meeting_of(3, LONG_AGO)
    ((ready, grown),) = made.readings
    early = grown | {
        "meetingEndDateTime": times.text(LONG_AGO - 11 * MINUTE),
        "totalParticipantCount": 2,
        "attendanceRecords": grown["attendanceRecords"][:2],
    }
    app.calls.append(replace(made, readings=((ready, early), (NOW + HOUR, grown))))
    app.announce("one")
    app.deliver()
    assert people(app) == 2
    app.run(days=2)
    assert people(app) == 3
    assert [each // MINUTE for each in readings(app)] == [0, CONFIRM // MINUTE]


def test_a_report_that_ends_with_its_call_and_is_not_fresh_is_read_once(app: App) -> None:
    made = meeting_of(3, LONG_AGO)
    app.calls.append(made)
    app.announce("one")
    app.run(days=2)
    assert len(readings(app)) == 1


def test_a_second_report_of_the_session_that_comes_later_is_found_by_the_second_reading(app: App) -> None:
    app.calls.append(meeting_of(3))
    ((_, report),) = app.calls[0].readings
    other = replace(app.calls[0], id="other", readable=None, listed=None)
    app.calls.append(replace(other, readings=((NOW + HOUR, report | {"id": "other"}),)))
    app.announce("one")
    app.run(hours=5)
    assert app.stored() == {"one", "other"}
    assert {each.id for each in outcome(app).reports} == {"one", "other"}


FAR = "9999-12-31T23:59:59.9999999Z"


@pytest.mark.parametrize("name", ["meetingStartDateTime", "meetingEndDateTime", "totalParticipantCount"])
@pytest.mark.parametrize("value", [FAR, "1601-01-01T00:00:00Z", "soon", -1, 10**30, [], {}], ids=str)
def test_no_value_in_a_report_ends_a_worker(app: App, name: str, value: object) -> None:
    app.calls.append(meeting_of(3))
    odd = {name: value}

    def answer(path: str, content: dict[str, Any]) -> dict[str, Any]:
        if "attendanceReports/" in path:
            return content | odd
        if path.endswith("attendanceReports"):
            return content | {"value": [each | odd for each in content["value"]]}
        return content

    app.graph.answer = answer
    app.announce("one")
    app.deliver()
    assert nobody_crashed(app)
    app.run(days=2)
    assert nobody_crashed(app)
    assert outcome(app).result is (Result.NO_REPORT if name == "meetingEndDateTime" else Result.STORED)
    app.graph.answer = lambda path, content: content
    app.run(days=2)
    assert outcome(app).result is Result.STORED


@pytest.mark.parametrize("by", ["news", "sweep"])
def test_a_call_that_ends_in_the_year_9999_ends_no_worker(app: App, by: str) -> None:
    made = call("one", JUST_NOW)
    made.record["endDateTime"] = FAR
    app.calls.append(made)
    if by == "news":
        app.announce("one")
    app.run(days=2)
    assert nobody_crashed(app)
    assert outcome(app).result is Result.FAILED
    made.record["endDateTime"] = times.text(JUST_NOW)
    app.run(days=2)
    assert outcome(app).result is Result.STORED


def test_an_unexpected_exception_is_a_visible_outcome_that_is_tried_again(app: App) -> None:
    app.calls.append(call("one", JUST_NOW))

    def answer(path: str, content: dict[str, Any]) -> dict[str, Any]:
        if path.startswith("users/") and app.now < NOW + HOUR:
            raise OverflowError("not said, because it may quote what Graph sent")
        return content

    app.graph.answer = answer
    app.announce("one")
    app.deliver()
    pending = outcome(app)
    assert pending.result is Result.PENDING
    assert pending.last_error == "attempt: an unexpected OverflowError in this product"
    assert nobody_crashed(app)
    app.run(hours=3)
    assert outcome(app).result is Result.STORED


# 4. A day that is sealed


def test_a_sealed_day_is_compared_with_the_list_once_more_a_day_later(app: App) -> None:
    """Graph listed a call of 14 hours only after its day was sealed."""
    day = TOMORROW_NIGHT
    end = day + HOUR
    sealed = ready_at(end.date(), SETTINGS)
    late = call("late", end)
    begin = times.text(end - 14 * HOUR)
    late.record["startDateTime"] = begin
    reading = late.readings[0][1] | {"meetingStartDateTime": begin}
    app.calls += [
        replace(late, readable=sealed + 6 * HOUR, listed=sealed + 6 * HOUR, readings=((end, reading),)),
        call("usual", end),
    ]
    until(app, sealed + 5 * HOUR)
    first = app.manifest(end.date())
    assert (first.complete, first.outcomes) == (True, {"stored": 1})
    until(app, sealed + 2 * DAY)
    again = app.manifest(end.date())
    assert (again.complete, again.outcomes) == (True, {"stored": 2})
    assert again.revision == first.revision + 1


def test_a_blob_that_was_removed_does_not_come_back_by_a_backfill_of_other_days(app: App) -> None:
    series = "https://teams.microsoft.com/l/meetup-join/series/0"
    for name, ended in (("old", NOW - 12 * DAY), ("new", NOW - 5 * DAY)):
        made = call(name, ended)
        made.record["joinWebUrl"] = series
        app.calls.append(made)
    app.run(days=1)
    assert app.stored() == {"old", "new"}
    del app.container.blobs["reports/date=2026-11-12/old.json"]
    app.ask("backfill", "2026-11-18", "2026-11-20")
    app.run(days=1)
    assert app.stored() == {"new"}
    app.ask("backfill", "2026-11-11", "2026-11-20")
    app.run(days=1)
    assert app.stored() == {"old", "new"}


def test_reports_of_days_that_were_never_archived_come_by_a_backfill_of_other_days(app: App) -> None:
    series = "https://teams.microsoft.com/l/meetup-join/series/0"
    for name, ended in (("old", NOW - 90 * DAY), ("new", NOW - 5 * DAY)):
        made = call(name, ended)
        made.record["joinWebUrl"] = series
        app.calls.append(made if name == "new" else replace(made, readable=None, listed=None))
    app.run(days=1)
    assert app.stored() == {"new"}
    app.ask("backfill", "2026-11-18", "2026-11-20")
    app.run(days=1)
    assert app.stored() == {"old", "new"}


def test_a_report_whose_id_changes_its_letter_case_is_stored_once(app: App) -> None:
    report_id = "c9b6db1c-d5eb-427d-a5c0-20088d9b22d7"
    ended = NOW - HOUR
    made = call("one", ended)
    ((since, report),) = made.readings
    readings = ((since, report | {"id": report_id}), (NOW + HOUR / 4, report | {"id": report_id.upper()}))
    app.calls.append(replace(made, readings=readings))
    app.announce("one")
    app.run(days=2)
    app.ask("backfill", f"{ended:%Y-%m-%d}", f"{ended:%Y-%m-%d}")
    app.run(days=1)
    (blob,) = app.container.below("reports/")
    assert blob.name.endswith(f"/{report_id}.json")
    assert json.loads(blob.body)["id"] == report_id.upper()
    assert app.manifest(ended.date()).reports == 1
    files = files_of(app.manifest(ended.date()), Table.MEETINGS)
    rows = read_table(lambda name: app.container.blobs[name].body, [each.path for each in files])
    assert [row["reportId"] for row in rows] == [report_id]
