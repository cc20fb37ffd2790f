"""The queries of docs/questions.md, and the first lines for each engine of docs/consumers.md, run from the pages.

The product archives reports that the simulator makes, indexes them and writes their tables, on a container in memory.
The truth is computed from the reports alone.
"""

import csv
import hashlib
import io
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import duckdb
import pytest
from azure.storage.blob import ContainerClient

from local.simulator.tenant import attendance, invitees
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.simulator.tenant.sessions import Meeting
from local.simulator.tenant.world import World
from shared import times
from shared.archive.reports import Archive
from shared.cli.commands import sql
from shared.cli.database import open_database, read_days
from shared.days.manifests import Manifests
from shared.graph.invitees import parse_participants
from shared.graph.report_json import write_report
from shared.graph.reports import MeetingReports, Report
from shared.messages.signals import MeetingDetails
from shared.tables.day_tables import DayTables
from tests.support.doubles import Container, Steps

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, CONSUMERS = DOCS / "questions.md", (DOCS / "consumers.md").read_text()
QUESTIONS = dict(
    re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```sql\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
)
TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
TODAY = date(2026, 12, 1)
YESTERDAY = TODAY - timedelta(days=1)
FIRST = date(2026, 11, 2)
NOW = datetime(2026, 12, 1, 6, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
FIRE = "Fire safety"
SECONDS = 300.0  # for an engine, where a busy machine takes its time

type Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Attendance:
    """A record of a report, as the simulator gives it."""

    key: str | None
    name: str | None
    tenant: str | None
    address: str | None
    stays: tuple[tuple[datetime, datetime], ...]

    @property
    def seconds(self) -> float:
        """The net time: the simulator's stays follow one another."""
        return sum((leave - join).total_seconds() for join, leave in self.stays)

    @property
    def first(self) -> datetime:
        return min(join for join, _ in self.stays)

    @property
    def last(self) -> datetime:
        return max(leave for _, leave in self.stays)


@dataclass(frozen=True)
class Held:
    """A session and its report."""

    report_id: str
    meeting: Meeting
    start: datetime
    end: datetime
    schedule: tuple[datetime, datetime] | None
    records: tuple[Attendance, ...]
    invited: dict[str, str | None]  # addresses by object id

    @property
    def date(self) -> date:
        return self.end.date()

    @property
    def organizer(self) -> str:
        return self.meeting.organizer_id

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    @property
    def series(self) -> str:
        """The meeting's series; its id differs from Graph's, and here it is enough that it is the same."""
        return self.meeting.id


def moment(text: str) -> datetime:
    """A time of a report, cut to the millisecond as tables have it."""
    return datetime.fromisoformat(f"{text[:19]}.{text[20:23]}+00:00")


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@dataclass
class Tenant:
    """A simulated month, archived by the product."""

    world: World
    container: ContainerClient
    held: list[Held]

    def hold(self, meeting: Meeting, start: datetime, end: datetime, participants: int) -> None:
        """Hold a session, and archive its report."""
        order = NewSession(meeting_id=meeting.id, start=start, end=end, participants=participants)
        session = self.world.add_session(order, end)
        text = attendance.whole_report(self.world, session)
        report = json.loads(text)
        schedule = self.world.schedule(meeting)
        records = tuple(self._record(each) for each in report["attendanceRecords"])
        begin, finish = moment(report["meetingStartDateTime"]), moment(report["meetingEndDateTime"])
        overlaps = schedule if schedule and begin < schedule[1] and schedule[0] < finish else None
        people = invitees.participants(self.world, meeting) or {}
        invited: dict[str, str | None] = {}
        for each in (people["organizer"], *people["attendees"]):
            if user := ((each["identity"] or {}).get("user") or {}).get("id"):
                spellings = filter(None, (invited.get(user), each["upn"]))
                invited[user] = min(spellings, key=str.swapcase, default=None)  # in lower case, if any is
        self.held.append(Held(session.report_id, meeting, begin, finish, overlaps, records, invited))
        body, canonical = io.BytesIO(), io.BytesIO()
        pages = iter([report["attendanceRecords"]])
        written = write_report(report, pages, body, canonical)
        size = body.tell()
        body.seek(0)
        details = MeetingDetails(meeting.subject, thread_id=meeting.thread_id)
        if schedule:
            details = replace(details, scheduled_start=schedule[0], scheduled_end=schedule[1])
        Archive(self.container).store(
            Report(
                session.report_id,
                begin,
                finish,
                len(records),
                written.records,
                is_partial=False,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                body=body,
                size=size,
                read_at=NOW,
            ),
            MeetingReports(meeting.organizer_id, meeting.id, meeting.join_web_url, details=details),
            invitees=parse_participants({"participants": people}),
        )

    def _record(self, record: dict[str, Any]) -> Attendance:
        """Who it is, as the simulator knows it: staff, or people whose tenant is named."""
        identity = record["identity"]
        identity = next((each for each in identity.values() if isinstance(each, dict)), identity)
        is_known = identity.get("id") in self.world.people or identity.get("tenantId")
        stays = [
            (moment(each["joinDateTime"]), moment(each["leaveDateTime"]))
            for each in record["attendanceIntervals"]
        ]
        return Attendance(
            identity["id"] if is_known else None,
            identity.get("displayName"),
            identity.get("tenantId"),
            record["emailAddress"] or None,
            tuple(stays),
        )


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", lambda: NOW)
        made = Tenant(World(7, TENANT), cast(ContainerClient, Container(Steps(NOW))), [])
        scheduled = {"scheduled_start": at(FIRST, 9), "scheduled_end": at(FIRST, 10)}
        training = made.world.add_meeting(NewMeeting(kind="recurring", subject=FIRE, invited=30, **scheduled))  # type: ignore[arg-type]
        for week in range(4):
            day = FIRST + timedelta(weeks=week)
            if week == 2:  # it was ended for everybody, and began again
                made.hold(training, at(day, 9), at(day, 9, 20), 90)
                made.hold(training, at(day, 9, 25), at(day, 10), 90)
            else:
                made.hold(training, at(day, 9), at(day, 10), 15 + week)
        made.hold(training, at(YESTERDAY, 9), at(YESTERDAY, 10), 12)
        for number in range(6):
            day = FIRST + timedelta(days=1 + 2 * number)
            order = NewMeeting(
                subject=f"Budget {number}", scheduled_start=at(day, 13), scheduled_end=at(day, 14)
            )
            if number > 2:
                order = NewMeeting(subject=f"Fireside {number}", organizer=made.held[-1].organizer)
            meeting = made.world.add_meeting(order)
            made.hold(meeting, at(day, 13), at(day, 14), 9)
            made.hold(
                made.world.add_meeting(NewMeeting()), at(day, 22), at(day, 23, 30), 3
            )  # tomorrow, in Berlin
        manifests = Manifests(made.container)
        tables = DayTables(made.container, manifests, TENANT)
        for day in {each.date for each in made.held}:
            manifest = manifests.refresh(day, final=day != YESTERDAY)
            assert [tables.write_part(part) for part in tables.plan_parts(manifest)][-1] is not None
        yield made


@pytest.fixture(scope="module")
def departments(tenant: Tenant) -> dict[str, str]:
    """A directory in which not everybody has a department."""
    return {key: f"Department {number % 3}" for number, key in enumerate(tenant.world.people) if number % 7}


@pytest.fixture(scope="module")
def people(departments: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("directory") / "people.csv"
    with file.open("w", newline="") as target:
        csv.writer(target).writerows(
            [("objectId", "department"), *((key.upper(), name) for key, name in departments.items())]
        )
    return file


def by_subject(held: list[Held], _: dict[str, str]) -> Rows:
    return [
        (
            each.date,
            each.meeting.subject,
            each.organizer,
            each.start,
            each.end,
            len(each.records),
            each.report_id,
        )
        for each in sorted(held, key=lambda each: (each.start, each.report_id))
        if "fire" in each.meeting.subject.lower()
    ]


def meetings(held: list[Held]) -> dict[tuple[date, str], list[Held]]:
    """The sessions of each meeting of a day."""
    found = defaultdict(list)
    for each in held:
        found[each.date, each.series].append(each)
    return found


def persons(sessions: list[Held]) -> dict[str, list[tuple[Held, Attendance]]]:
    """The attendances of each person."""
    found = defaultdict(list)
    for session in sessions:
        for record in session.records:
            if record.key:
                found[record.key].append((session, record))
    return dict(sorted(found.items()))


def attended(held: list[Held], _: dict[str, str]) -> Rows:
    found = []
    for (day, _series), sessions in meetings(held).items():
        if sessions[0].meeting.subject != FIRE:
            continue
        length = sum(each.seconds for each in sessions)
        for key, records in persons(sessions).items():
            seconds = sum(record.seconds for _, record in records)
            if seconds >= 0.8 * length:
                found.append((day, key, records[0][1].name, seconds, seconds / length))
    return sorted(found, key=lambda row: row[:2])


def late(held: list[Held], _: dict[str, str]) -> Rows:
    found = []
    for (day, _series), sessions in meetings(held).items():
        for key, records in persons(sessions).items():
            delays = [
                max(0.0, (record.first - session.schedule[0]).total_seconds())
                for session, record in records
                if session.schedule
            ]
            if delays and int(min(delays)) > 300:
                found.append((day, sessions[0].meeting.subject, key, records[0][1].name, int(min(delays))))
    return sorted(found, key=lambda row: row[:3])


def by_department(held: list[Held], departments: dict[str, str]) -> Rows:
    keys, seconds = defaultdict[str, set[str]](set), defaultdict[str, float](float)
    for key, records in persons(held).items():
        name = departments.get(key, "unknown")
        keys[name].add(key)
        seconds[name] += sum(record.seconds for _, record in records)
    return [(name, len(keys[name]), seconds[name] / 3600) for name in sorted(keys)]


def weeks(held: list[Held], _: dict[str, str]) -> Rows:
    sessions_of = defaultdict(list)
    for each in held:
        if each.meeting.subject == FIRE:
            sessions_of[each.date - timedelta(days=each.date.weekday())].append(each)
    found = []
    for week, sessions in sorted(sessions_of.items()):
        shares = [record.seconds / each.seconds for each in sessions for record in each.records]
        days = {each.date for each in sessions}
        found.append((week, len(days), len(persons(sessions)), sum(shares) / len(shares)))
    return found


def externals(held: list[Held], _: dict[str, str]) -> Rows:
    return [
        (each.date, each.meeting.subject, record.name, record.address, record.tenant, record.seconds)
        for each in sorted(held, key=lambda each: (each.date, each.report_id))
        for record in each.records
        if record.tenant
    ]


def absent(held: list[Held], _: dict[str, str]) -> Rows:
    found = set()
    for (day, _series), sessions in meetings(held).items():
        for session in sessions:
            for key, address in session.invited.items():
                if key not in persons(sessions):
                    found.add((day, session.meeting.subject, "invited", key, address))
    return sorted(found, key=lambda row: (row[0], row[3], row[4] or "\uffff"))


def hours(held: list[Held], _: dict[str, str]) -> Rows:
    found = defaultdict(list)
    for each in held:
        found[each.organizer].append(each)
    return [
        (
            organizer,
            len(meetings(sessions)),
            sum(each.seconds for each in sessions) / 3600,
            sum(record.seconds for each in sessions for record in each.records) / 3600,
        )
        for organizer, sessions in sorted(found.items())
    ]


def distinct(held: list[Held], _: dict[str, str]) -> Rows:
    unnamed = sum(record.key is None for each in held for record in each.records)
    return [(len(persons(held)), unnamed)]


def local_days(held: list[Held], _: dict[str, str]) -> Rows:
    counts: dict[date, int] = defaultdict(int)
    for each in held:
        counts[each.end.astimezone(BERLIN).date()] += 1
    return sorted(counts.items())


def restarted(held: list[Held], _: dict[str, str]) -> Rows:
    found = []
    for (day, series), sessions in meetings(held).items():
        if len(sessions) > 1:
            for key, records in persons(sessions).items():
                whole = [record for _, record in records]
                first, last = min(each.first for each in whole), max(each.last for each in whole)
                seconds = sum(each.seconds for each in whole)
                found.append((day, series, key, whole[0].name, len(whole), first, last, seconds))
    return found


def yesterday(held: list[Held], _: dict[str, str]) -> Rows:
    return [
        (record.name or record.address, record.key, record.seconds, record.seconds / each.seconds, False)
        for each in held
        if each.date == YESTERDAY and each.meeting.subject == FIRE
        for record in each.records
    ]


TRUTH: dict[str, Callable[[list[Held], dict[str, str]], Rows]] = {
    "By subject": by_subject,
    "Attended at least 80 %": attended,
    "Late joiners": late,
    "By department": by_department,
    "A series over weeks": weeks,
    "Externals": externals,
    "Invited or registered, and absent": absent,
    "Hours per organizer": hours,
    "Distinct people": distinct,
    "Days of local time": local_days,
    "A restarted meeting as one": restarted,
    "Yesterday's training, today": yesterday,
}
# Ids that the tables hash, and names that stand for a number: what is compared is everything else.
UNCOMPARED = {"A restarted meeting as one": {1}, "Yesterday's training, today": {0}}


def test_the_page_asks_each_question_once() -> None:
    assert list(QUESTIONS) == re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)
    assert set(QUESTIONS) == set(TRUTH)


@pytest.mark.parametrize("title", QUESTIONS)
def test_the_answer_is_the_truth(
    title: str, tenant: Tenant, departments: dict[str, str], people: Path
) -> None:
    days = [FIRST + timedelta(days=number) for number in range((TODAY - FIRST).days + 1)]
    query = QUESTIONS[title].replace("current_date", f"DATE '{TODAY}'")
    with open_database(tenant.container, read_days(tenant.container, days), TENANT) as database:
        found = [tuple(row.values()) for row in sql.answer(database, query, [("people", people)])]
    wanted = TRUTH[title](tenant.held, departments)
    assert len(found) == len(wanted) > 0
    skipped = UNCOMPARED.get(title, set())
    for row, want in zip(found, wanted, strict=True):
        assert len(row) == len(want)
        for place, (cell, truth) in enumerate(zip(row, want, strict=True)):
            if place not in skipped:
                assert is_same(cell, truth), (title, place, row, want)


def is_same(cell: object, truth: object) -> bool:
    """Whether a cell is as the truth says, but for rounding."""
    match truth:
        case datetime():
            return cell == times.text(truth)
        case date():
            return cell == truth.isoformat()
        case float():
            return isinstance(cell, int | float) and abs(cell - truth) <= (0.006 if truth < 100 else 1)
        case _:
            return cell == truth


@pytest.fixture(scope="module")
def copy(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the archive, as `reports download` makes it, with a file that no manifest names."""
    folder = tmp_path_factory.mktemp("archive")
    for blob in cast(Container, tenant.container).blobs.values():
        file = folder / "copy" / blob.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(blob.body)
    some = next(folder.glob("copy/tables/attendees/date=*/*.parquet"))
    some.with_name("part-00009-0000000000000000.parquet").write_bytes(some.read_bytes())
    return folder


def heavy(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.heavy(f"{name} is large and slow to start"))


@pytest.mark.parametrize(
    "engine", ["DuckDB", heavy("polars"), heavy("pandas"), heavy("Spark and Databricks")]
)
def test_the_first_lines_of_an_engine_give_the_named_rows(
    engine: str, copy: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = CONSUMERS.split(f"### {engine}\n")[1].split("\n### ")[0]
    (lines,) = re.findall(r"```(?:sql|python)\n(.*?)```", section, re.DOTALL)
    assert len(lines.splitlines()) <= 6
    monkeypatch.chdir(copy)
    if engine == "DuckDB":
        found = duckdb.connect().execute(lines).fetchall()
    else:
        need(engine)
        with ProcessPoolExecutor(
            1, get_context("spawn")
        ) as process:  # Java never leaves where it was started
            found = process.submit(rows_of, engine, lines).result(SECONDS)
    wanted = [
        (each.date, record.name, round(record.seconds))
        for each in tenant.held
        if each.meeting.subject == FIRE
        for record in each.records
    ]
    assert sorted((day, seconds) for day, _, seconds in found) == sorted(
        (day, seconds) for day, _, seconds in wanted
    )
    names = {name for _, name, _ in wanted if name}
    assert {name for _, name, _ in found if isinstance(name, str) and not name.startswith("+")} == names


def need(engine: str) -> None:
    if engine.startswith("Spark"):
        pytest.importorskip("pyspark")
        if shutil.which("java") is None:
            pytest.skip("Spark needs Java, and there is none here")


def rows_of(engine: str, lines: str) -> Rows:
    """Run the lines of an engine of Python, and give what they show."""
    *before, last = lines.splitlines()
    space: dict[str, Any] = {}
    if engine.startswith("Spark"):
        from pyspark.sql import SparkSession

        space["spark"] = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
        last = last.removesuffix(".show()") + ".collect()"
    else:
        last = last.removeprefix("print(").removesuffix(")")
    exec("\n".join([*before, f"found = {last}"]), space)
    found = space["found"]
    if engine == "polars":
        return list(found.rows())
    if engine == "pandas":
        return [
            (date.fromisoformat(str(day)), *rest) for day, *rest in found.itertuples(index=False, name=None)
        ]
    return [tuple(row) for row in found]
