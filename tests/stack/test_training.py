"""`attendance training` on a running stack, against what the simulator knows."""

from __future__ import annotations

import csv
import itertools
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.simulator.control.client import MeetingMade
from local.simulator.tenant.orders import NewMeeting
from shared.graph.join_urls import series_id
from tests.support.command_line import run, told
from tests.support.front import Front

NOW = datetime.now(UTC).replace(microsecond=0)
# Within one date, whatever the hour: a restart is that also past midnight.
FIRST, RESTART, WEEK_BEFORE = NOW - timedelta(hours=3), NOW - timedelta(minutes=100), NOW - timedelta(days=7)
SUBJECT = f"First aid {uuid4()}"


@dataclass(frozen=True)
class Series:
    """A series of two dates, its true reports by date, and a roster of some who attended and one who did not."""

    meeting: MeetingMade
    truth: list[list[dict[str, Any]]]
    roster: Path
    reports: list[str]


@pytest.fixture(scope="module")
def series(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Series:
    front = Front(stack)
    meeting = front.control.add_meeting(NewMeeting(kind="recurring", subject=SUBJECT))
    spans = [
        (WEEK_BEFORE, WEEK_BEFORE + timedelta(minutes=60)),
        (FIRST, FIRST + timedelta(minutes=50)),
        (RESTART, RESTART + timedelta(minutes=60)),
    ]
    made = [front.session(meeting_id=meeting.meeting_id, start=a, end=b, participants=6) for a, b in spans]
    front.notify(*(each.call_id for each in made))
    for each in made:
        front.outcome(each.call_id, "stored")
    reports = [front.control.true_reports()[each.report_id] for each in made]
    records = [record for report in reports for record in report["attendanceRecords"]]
    known = {
        record["emailAddress"]: record["identity"]["displayName"]
        for record in records
        if record["emailAddress"] and "displayName" in record["identity"]
    }
    roster = tmp_path_factory.mktemp("roster") / "team.csv"
    lines = [f"{name};{address.upper()};Sales" for address, name in list(known.items())[:4]]
    text = "\r\n".join(["Name;E-Mail;Department", *lines, "Nobody;nobody@contoso.example;HR", ""])
    roster.write_bytes(text.encode("utf-8-sig"))
    ids = [each.report_id for each in made]
    return Series(meeting, [[reports[0]], reports[1:]], roster, ids)


def true_minutes(reports: list[dict[str, Any]], address: str) -> float:
    """Minutes with one digit, rounded down: the milliseconds in which the person was there, put together."""
    there: list[tuple[int, int]] = []
    for report in reports:
        for record in report["attendanceRecords"]:
            if record["emailAddress"] == address:
                there += [
                    (milli(i["joinDateTime"]), milli(i["leaveDateTime"]))
                    for i in record["attendanceIntervals"]
                ]
    moments = sorted({moment for stay in there for moment in stay})
    parts = itertools.pairwise(moments)
    net = sum(b - a for a, b in parts if any(join <= a and b <= leave for join, leave in there))
    return net // 6_000 / 10


def milli(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000) // 1_000


def test_a_series_is_judged_by_date_and_a_restarted_meeting_is_one(front: Front, series: Series) -> None:
    rules = ("--roster", str(series.roster), "--at-least", "50%", "--of", "meeting")
    found = told(front, "training", SUBJECT, *rules)
    assert [len(each["sessions"]) for each in found["dates"]] == [1, 2]
    assert [each["minutes"] for each in found["dates"]] == [60.0, 110.0]
    assert found["expectedFrom"] == "roster"
    people = {each["address"]: each for each in found["people"]}
    assert len(people) == 5
    assert {each["result"] for each in people["nobody@contoso.example"]["attendance"]} == {"absent"}
    for address, person in people.items():
        for attended, truth, length in zip(person["attendance"], series.truth, (60, 110), strict=True):
            minutes = true_minutes(truth, address)
            assert attended["minutes"] == minutes
            expected = "absent" if not minutes else "attended" if minutes >= length / 2 else "not enough"
            assert attended["result"] == expected
    listed = [*people, *(each["address"] for each in found["notExpected"])]
    attended = {
        r["emailAddress"] for day in series.truth for report in day for r in report["attendanceRecords"]
    }
    assert set(filter(None, listed)) == set(filter(None, attended)) | {"nobody@contoso.example"}


def test_link_series_and_report_find_the_same_meeting(front: Front, series: Series) -> None:
    by_subject = told(front, "training", SUBJECT)
    link = series.meeting.join_web_url
    assert told(front, "training", link) == by_subject
    assert told(front, "training", "--series", series_id(link)) == by_subject
    assert run(front, "training", "--series", SUBJECT).returncode == 1  # a subject is no series
    of_report = told(front, "training", series.reports[2])
    assert of_report["dates"] == by_subject["dates"][1:]  # with the session before the restart
    first = FIRST.date().isoformat()
    assert told(front, "training", link, "--from", first)["dates"] == by_subject["dates"][1:]


def test_without_roster_and_invitees_nobody_is_absent(front: Front, series: Series) -> None:
    shown = run(front, "training", SUBJECT, "--from", FIRST.date().isoformat())
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Nobody is absent." in shown.stdout
    assert ", 0 absent" not in shown.stdout
    assert f"{FIRST.date()}: " in shown.stdout
    assert "not final: a report can still come or grow." in shown.stdout


def test_each_format_is_written(front: Front, series: Series, tmp_path: Path) -> None:
    ask = ("training", SUBJECT, "--roster", str(series.roster), "--at-least", "80%")
    for ending in ("csv", "json", "xlsx", "html"):
        done = run(front, *ask, "--output", str(tmp_path / f"x.{ending}"))
        assert done.returncode == 0, done.stderr
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["list"] == "expected" for row in rows) == 5
    assert {row["Department"] for row in rows if row["list"] == "expected"} == {"Sales", "HR"}
    assert json.loads((tmp_path / "x.json").read_text()) == told(front, *ask)
    assert run(front, *ask, "--format", "csv").stdout.splitlines()[0].startswith("list,name,address,objectId")
    with zipfile.ZipFile(tmp_path / "x.xlsx") as workbook:
        assert b'name="total"' in workbook.read("xl/workbook.xml")
    page = (tmp_path / "x.html").read_text()
    assert page.startswith("<!doctype html>")
    assert SUBJECT in page
    assert run(front, *ask, "--format", "html").stdout == page
    assert len(list(tmp_path.iterdir())) == 4


def test_a_session_without_a_report_is_said(front: Front) -> None:
    meeting = front.control.add_meeting(NewMeeting(kind="recurring", subject=f"Half {uuid4()}"))
    known: dict[str, Any] = {"meeting_id": meeting.meeting_id}
    missing = front.session(
        **known, start=WEEK_BEFORE, end=WEEK_BEFORE + timedelta(minutes=9), no_report=True
    )
    front.notify(missing.call_id)
    front.outcome(missing.call_id, "pending")
    alone = run(front, "training", meeting.join_web_url)
    assert alone.returncode == 1
    assert "Sessions without a report are known (1 pending): `attendance explain` says why." in alone.stderr
    there = front.session(**known, start=FIRST, end=RESTART)
    front.notify(there.call_id)
    front.outcome(there.call_id, "stored")
    notes = told(front, "training", meeting.join_web_url)["notes"]
    assert any("have no report here (1 pending): their attendance is missing" in each for each in notes)


def test_meetings_of_one_subject_are_listed(front: Front) -> None:
    subject = f"Two {uuid4()}"
    for _ in range(2):
        made = front.session(NewMeeting(subject=subject))
        front.notify(made.call_id)
        front.outcome(made.call_id, "stored")
    done = run(front, "training", subject)
    assert done.returncode == 1
    assert done.stderr == "attendance: 2 meetings match: give the --series or the link of one.\n"
    assert done.stdout.count(subject) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 2, "Give either a meeting or --series."),
        (("x", "--series", "y"), 2, "Give either a meeting or --series."),
        ((" ",), 2, "Give a link, a subject or an id."),
        (
            ("x", "--output", "x.pdf"),
            2,
            "x.pdf does not end in one of .csv, .json, .xlsx, .html: see --format.",
        ),
        (("x", "--format", "xlsx"), 2, "A workbook needs --output FILE."),
        (
            ("x", "--format", "table", "--output", "x"),
            2,
            "A table is for the terminal: choose another --format",
        ),
        (("x", "--roster", "missing.csv"), 1, "missing.csv: No such file or directory."),
        (
            ("x", "--at-least", "eighty"),
            2,
            "'eighty' is neither a percentage, such as 80%, nor minutes, such as 45.",
        ),
        (("x", "--of", "noon"), 2, "'noon' is neither schedule, nor meeting, nor hours such as 09:00-10:30."),
        (
            ("x", "--time-zone", "Mars/Base"),
            2,
            "'Mars/Base' is no time zone of this machine, such as Europe/Berlin.",
        ),
        (
            ("nobody's", "--from", "2026-11-20", "--to", "2026-11-21"),
            1,
            "No report of such a meeting is stored from",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    front: Front, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = run(front, "training", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in " ".join(done.stderr.replace("│", "").split())


def test_a_bad_roster_is_refused_before_anything_is_read(front: Front, tmp_path: Path) -> None:
    roster = tmp_path / "team.csv"
    roster.write_text("email\nnobody at contoso\n")
    done = run(front, "training", "x", "--roster", str(roster))
    assert done.returncode == 1
    assert "line 2 has 'nobody at contoso' as email, which is not an address" in done.stderr
