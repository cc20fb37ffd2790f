"""The result of a training as people and programs get it: tables, sentences, a workbook's sheets, JSON, a page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from shared.cli.export.spreadsheets import Sheet
from shared.cli.training import sentences, sheets
from shared.cli.training.matching import Training
from shared.cli.training.page import render_page
from shared.cli.training.policy import ANY_TIME, Policy, parse_measure
from shared.cli.training.results import Account
from tests.support.training import account

ONE, BOTH = account(1), account(2)
SECOND = BOTH.occasions[1].day
HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\x1b[31m\u202e& =cmd|'/c calc'!A1"


def rows(sheet: Sheet) -> list[dict[str, object]]:
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


def test_the_sheet_of_a_date_has_a_row_for_each_with_exact_values() -> None:
    found = {row["name"]: row for row in rows(sheets.date_sheet(ONE, ONE.occasions[0]))}
    assert [(row["name"], row["list"], row["result"]) for row in found.values()] == [
        ("Chidi Okafor", "expected", "absent"),
        ("Hugo Lind", "not recognized", "not enough"),
        ("Ben Rowe", "expected", "not enough"),
        ("Dana Wright", "expected", "not enough"),
        ("Ana López", "expected", "attended"),
        ("Tim Trainer", "not expected", "attended"),
    ]  # fmt: skip
    assert found["Ben Rowe"] == {
        "date": "2026-11-23",
        "list": "expected",
        "name": "Ben Rowe",
        "address": "ben@contoso.example",
        "objectId": "20000000-0000-4000-8000-000000000000",
        "Department": "Sales",
        "matchedBy": "address",
        "possible": None,
        "result": "not enough",
        "late": True,
        "leftEarly": False,
        "minutes": 47.0,
        "percent": 78.3,
        "lateMinutes": 8.0,
        "leftEarlyMinutes": 0.0,
        "firstJoin": "2026-11-23T09:08:00Z",
        "lastLeave": "2026-11-23T10:00:00Z",
        "role": "Attendee",
        "caveats": "notFinal",
    }


def test_a_series_has_columns_for_each_date_and_a_total() -> None:
    made = sheets.sheets(BOTH)
    assert [each.name for each in made] == ["total", "2026-11-16", "2026-11-23", "notes"]
    ben = next(row for row in rows(made[0]) if row["name"] == "Ben Rowe")
    assert ben | {
        "datesAttended": 1, "dates": 2, "minutes": 101.0, "percent": 84.1,
        "2026-11-16 result": "attended", "2026-11-16 minutes": 54.0, "2026-11-16 percent": 90.0,
        "2026-11-23 result": "not enough, late", "2026-11-23 minutes": 47.0, "2026-11-23 percent": 78.3,
    } == ben  # fmt: skip
    hugo = next(row for row in rows(made[0]) if row["list"] == "not recognized")
    assert (hugo["name"], hugo["2026-11-16 result"], hugo["2026-11-23 minutes"]) == ("Hugo Lind", None, 35.0)
    assert {row["caveats"] for row in rows(made[0])} == {"2026-11-23: notFinal"}
    assert [each.name for each in sheets.sheets(ONE)] == ["2026-11-23", "notes"]


def test_a_column_of_the_roster_that_is_named_like_one_of_the_result_says_whose_it_is() -> None:
    people = tuple(replace(each, more={"role": "clerk", "Team": "Blue"}) for each in ONE.training.people)
    mine = replace(ONE, training=replace(ONE.training, people=people))
    sheet = sheets.date_sheet(mine, mine.occasions[0])
    assert len(set(sheet.columns)) == len(sheet.columns)
    assert {"role (roster)", "Team", "role"} <= set(sheet.columns)


def test_json_has_the_whole_result_and_is_json() -> None:
    content = json.loads(json.dumps(sheets.content_json(BOTH)))
    assert [each["date"] for each in content["dates"]] == ["2026-11-16", "2026-11-23"]
    assert [len(each["sessions"]) for each in content["dates"]] == [1, 2]
    hugo = next(each for each in content["people"] if each["name"] == "Hugo Lind")
    assert hugo["possible"] == ["Hugo Lind (no address), 35 min on 2026-11-23"]
    assert (hugo["datesAttended"], hugo["roster"]) == (0, {"Department": "IT"})
    assert [each["name"] for each in content["notExpected"]] == ["Tim Trainer"]
    assert [each["name"] for each in content["notRecognized"]] == ["Hugo Lind"]
    assert [each["caveats"] for each in content["dates"]] == [[], ["notFinal"]]
    assert (content["expectedFrom"], content["notes"]) == ("roster", list(BOTH.notes))


def test_json_names_limits_of_no_minutes() -> None:
    def limits(late: timedelta | None, early: timedelta | None) -> list[object]:
        of = account(1, replace(ONE.policy, late_after=late, left_early=early))
        policy = json.loads(json.dumps(sheets.content_json(of)))["policy"]
        return [policy["lateAfterMinutes"], policy["leftEarlyMinutes"]]

    assert limits(timedelta(), timedelta()) == [0, 0]
    assert limits(None, timedelta(minutes=5)) == [None, 5]


def test_notes_say_what_may_make_the_result_wrong() -> None:
    training = BOTH.training
    partial, second = training.occasions
    changed = (
        replace(partial, sessions=(replace(partial.sessions[0], is_partial=True, is_erased=True),)),
        second,
    )
    notes = sentences.describe_notes(
        replace(training, occasions=changed),
        open_days=[date(2026, 11, 28), date(2026, 11, 29), date(2026, 11, 23)],
        unreported={"accessDenied": 1},
        invited=frozenset({SECOND}),
        more=["The roster says so."],
    )
    assert notes == (
        (
            "2026-11-16: 1 report is partial, so records of attendance may be missing: who is absent or was there too "
            "briefly may have attended."
        ),
        "2026-11-16: a person was erased from a report, and is listed as absent if expected.",
        "2026-11-23, 2026-11-28 to 2026-11-29 are not final: a report can still come or grow.",
        (
            "Sessions of this meeting have no report here (1 accessDenied): their attendance is missing. "
            "`attendance explain` says why."
        ),
        "Who was invited is unknown for 2026-11-16: nobody is listed as absent there.",
        (
            "1 absent address has no object id: such an address can be a group's, whose members are listed as not "
            "expected."
        ),
        "The roster says so.",
    )


def test_a_session_outside_of_the_time_that_counts_is_said() -> None:
    hours = replace(BOTH.policy, measure=parse_measure("09:00-09:10"))
    notes = account(1, hours).notes
    assert notes[0] == (
        "2026-11-23: 1 session was held outside of the time that counts: presence in it does not count, see --of."
    )


def test_without_anybody_expected_nobody_is_absent_and_that_is_said() -> None:
    nobody = Training(Policy(ANY_TIME), (), (), (), (), has_expected=False)
    assert "Nobody is absent." in next(iter(sentences.describe_rules(Account(nobody, ""))))


def test_the_page_is_whole_loads_nothing_and_has_every_date() -> None:
    page = render_page(BOTH)
    assert page.startswith("<!doctype html>")
    for needed in ('lang="en"', "default-src 'none'", "@media print", "color-scheme: light dark"):
        assert needed in page
    for heading in ("All dates", "Monday, 2026-11-16", "Monday, 2026-11-23", "Not expected", "Notes"):
        assert f">{heading}<" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "landscape" not in page
    for cell in (
        "Hugo Lind (no address), 35 min on 2026-11-23",
        "not enough, late",
        "54 min",
        "1 of 2",
        "84.1 %",
    ):
        assert cell in page
    main = ElementTree.fromstring(f"<main{page.partition('<main')[2].partition('</main>')[0]}</main>")
    for table in main.iter("table"):
        heads = table.findall("thead/tr/th")
        assert all(head.get("scope") == "col" for head in heads)
        for line in table.iterfind("tbody/tr"):
            assert len(line) == len(heads)
            assert line[0].get("scope") == "row"


def test_many_dates_are_printed_across() -> None:
    occasions = tuple(replace(BOTH.occasions[0], day=date(2026, 11, day)) for day in range(1, 8))
    assert "@page { size: landscape; }" in render_page(
        replace(BOTH, training=replace(BOTH.training, occasions=occasions))
    )


@pytest.mark.parametrize("field", ["name", "address", "possible", "more"])
def test_whatever_a_text_holds_it_stays_a_text(field: str) -> None:
    values: dict[str, Any] = {"possible": (HOSTILE,), "more": {HOSTILE: HOSTILE}}
    changed = {field: values.get(field, HOSTILE)}
    people = tuple(replace(each, **changed) for each in ONE.training.people)
    page = render_page(replace(ONE, subject=HOSTILE, training=replace(ONE.training, people=people)))
    assert "&lt;script&gt;" in page
    for sign in ("<script", "<img", "\x1b", "\u202e"):
        assert sign not in page


def test_an_empty_training_is_a_page_too() -> None:
    empty = replace(ONE.training, people=(), others=(), unrecognized=())
    assert "Nobody." in render_page(replace(ONE, subject="", training=empty))
    assert "Meeting without a subject" in render_page(replace(ONE, subject=""))
