"""Reports, exports and persons at the command line, on an archive with a past."""

import csv
import gzip
import json
import re
import signal
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from rich.cells import cell_len

from local.simulator.tenant.orders import NewPast
from shared.archive.attribution import INVITEES_SHA256
from shared.archive.invitees import read_invitees
from shared.cli.database import VIEWS
from shared.cli.erasure import erase
from shared.cli.export.tables import COLUMNS, ExportTable
from shared.graph.invitees import Invitee
from tests.support.command_line import run, start, told
from tests.support.front import Front, eventually, own_stack
from tests.support.parquet import rows_of

stack = own_stack(MEETING_DETAILS="subject,schedule,invitees")
TODAY = datetime.now(UTC).date()
DAYS = 4
FIRST, LAST = TODAY - timedelta(days=DAYS), TODAY
WINDOW = ("--from", str(FIRST), "--to", str(LAST))


@pytest.fixture(scope="module")
def past(stack: Any) -> list[dict[str, Any]]:
    """The rows of `reports list` for a filled and sealed past."""
    front = Front(stack)
    front.control.add_past(NewPast(days=DAYS, meetings_per_day=3, participants=3))
    made = told(front, "backfill", *WINDOW, "--wait")
    assert made[0]["error"] is None
    front.table(TODAY - timedelta(days=DAYS - 1))
    found: list[dict[str, Any]] = told(front, "reports", "list", *WINDOW)
    assert len(found) == made[0]["missing"]
    return found


def of_day(past: list[dict[str, Any]], back: int) -> list[dict[str, Any]]:
    return [each for each in past if each["end"].startswith(str(TODAY - timedelta(days=back)))]


def stored(front: Front, path: str) -> dict[str, Any]:
    return front.content(path)


def test_reports_are_listed_and_picked(front: Front, past: list[dict[str, Any]]) -> None:
    one = past[0]
    assert stored(front, one["path"])["id"] == one["id"]
    of_organizer = told(front, "reports", "list", *WINDOW, "--organizer", one["organizerId"].upper())
    assert of_organizer == [each for each in past if each["organizerId"] == one["organizerId"]]
    of_meeting = told(front, "reports", "list", *WINDOW, "--meeting", one["joinWebUrl"])
    assert of_meeting == [each for each in past if each["meetingId"] == one["meetingId"]]
    table = run(front, "reports", "list", *WINDOW)
    assert (table.returncode, table.stderr) == (0, "")
    assert all(each["id"] in table.stdout for each in past)
    starts = [line.split("  ")[0] for line in table.stdout.splitlines()[2:]]
    assert starts == sorted(starts)


def test_organizers_are_named_as_their_reports_name_them(front: Front, past: list[dict[str, Any]]) -> None:
    named = {each["organizer"] for each in past}
    assert None not in named
    for each in past:
        (record,) = [
            one for one in stored(front, each["path"])["attendanceRecords"] if one["role"] == "Organizer"
        ]
        assert (record["identity"]["id"], record["identity"]["displayName"]) == (
            each["organizerId"],
            each["organizer"],
        )
    one = past[0]
    (row,) = [
        each for each in run(front, "reports", "list", *WINDOW).stdout.splitlines() if one["id"] in each
    ]
    assert row.split()[-4:] == [*one["organizer"].split(), one["organizerId"], one["id"]]
    told_of = run(front, "explain", one["joinWebUrl"]).stdout
    assert f"Organizer {one['organizer']} ({one['organizerId']})" in told_of
    assert told(front, "explain", one["joinWebUrl"])["meetings"][0]["organizer"] == one["organizer"]


def test_a_report_is_shown(front: Front, past: list[dict[str, Any]], tmp_path: Path) -> None:
    one = past[0]
    drawn = run(front, "reports", "show", one["id"])
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.startswith(f"Report {one['id']}\n{one['subject']}: {one['start'][:10]}")
    assert max(map(cell_len, drawn.stdout.splitlines())) <= 100
    assert run(front, "reports", "show", one["path"]).stdout == drawn.stdout
    assert told(front, "reports", "show", one["id"]) == stored(front, one["path"])
    for ending, begins in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("html", b"<!doctype html>")):
        made = run(front, "reports", "show", one["id"], "--output", str(tmp_path / f"x.{ending}"))
        assert made.returncode == 0, made.stderr
        assert (tmp_path / f"x.{ending}").read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_report_is_found_by_its_subject_and_by_its_link(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    one = past[0]
    assert one["subject"].startswith("Meeting ")
    listed = told(front, "reports", "list", *WINDOW, "--subject", f" {one['subject'].upper()} ")
    assert one in listed
    assert all(one["subject"] in each["subject"] for each in listed)
    link = ("--meeting", one["joinWebUrl"].upper(), *WINDOW)
    drawn = run(front, "reports", "show", *link)
    assert f"\n{one['subject']}: {one['start'][:10]}" in drawn.stdout, drawn.stderr
    picture = tmp_path / "x.html"
    assert run(front, "reports", "show", *link, "--output", str(picture)).returncode == 0
    assert one["subject"] in picture.read_text()
    several = run(front, "reports", "show", *WINDOW, "--subject", "meeting")
    assert several.returncode == 1
    assert several.stderr.endswith("reports match: give the id of one.\n")
    assert all(each["id"] in several.stdout for each in past)
    nothing = run(front, "reports", "show", *WINDOW, "--subject", "nobody's")
    assert "No such report is stored on these days" in nothing.stderr
    for wrong in ((), (one["id"], "--subject", "x")):
        assert "Give either the id of a report" in run(front, "reports", "show", *wrong).stderr


@pytest.mark.parametrize(
    ("wanted", "more", "code", "sentence"),
    [
        ("nobody", (), 1, "There is no report with this id on these days"),
        ("reports/date=2026-01-01/x.json", (), 1, "There is no blob reports/date=2026-01-01/x.json."),
        ("x", ("--output", "x.gif"), 2, "x.gif does not end in one of .svg, .png, .html."),
    ],
)
def test_what_cannot_be_shown_is_said(
    front: Front, wanted: str, more: tuple[str, ...], code: int, sentence: str
) -> None:
    done = run(front, "reports", "show", wanted, *more)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"attendance: {sentence}")


def test_a_copy_has_the_same_names_and_fetches_what_changed(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    parts = ("--what", "reports", "--what", "manifests", "--what", "tables")
    first = told(front, "reports", "download", str(tmp_path), *WINDOW, *parts)
    one = tmp_path / past[0]["path"]
    assert json.loads(one.read_bytes()) == stored(front, past[0]["path"])
    assert one.stat().st_mode & 0o077 == 0
    one.write_bytes(b" " * one.stat().st_size)
    again = told(front, "reports", "download", str(tmp_path), *WINDOW, *parts)
    assert again == {"fetched": 1, "unchanged": first["fetched"] - 1}
    assert json.loads(one.read_bytes()) == stored(front, past[0]["path"])


def test_an_interrupted_copy_leaves_whole_files(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    with start(front, "reports", "download", str(tmp_path), *WINDOW) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.json")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) in ((130, ""), (0, ""))  # 0: it was done before
    assert "Traceback" not in err
    assert all(json.loads(each.read_bytes()) for each in tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob(".*"))


def listed(front: Front, line: dict[str, Any]) -> tuple[Invitee, ...]:
    """Who was invited to the meeting of a line of the index."""
    found = read_invitees(front.container, line["path"], {INVITEES_SHA256: line["inviteesSha256"]})
    return found.invitees if found else ()


@pytest.mark.parametrize("back", [DAYS - 1, 0], ids=["from tables", "from reports"])
@pytest.mark.parametrize("table", list(ExportTable))
def test_an_export_has_a_row_for_each_and_its_columns(
    front: Front, past: list[dict[str, Any]], tmp_path: Path, table: ExportTable, back: int
) -> None:
    day = TODAY - timedelta(days=back)
    records = [
        (line["id"], record)
        for line in sorted(of_day(past, back), key=lambda line: line["id"])
        for record in stored(front, line["path"])["attendanceRecords"]
    ]
    wanted = {
        "meetings": sorted(line["id"] for line in of_day(past, back)),
        "attendees": [report for report, _ in records],
        "intervals": [report for report, record in records for _ in record["attendanceIntervals"]],
        "engagements": [report for report, record in records for _ in record.get("engagements") or ()],
        "invitees": [
            line["id"]
            for line in sorted(of_day(past, back), key=lambda line: line["id"])
            for _ in listed(front, line)
        ],
    }[table]
    window = ("--from", str(day), "--to", str(day), "--table", table, "--output", str(tmp_path))
    more = () if back else ("--include-incomplete",)
    for form in ("csv", "parquet", "jsonl"):
        found = told(front, "export", *window, "--format", form, *more)
        assert found == [{"table": table, "rows": len(wanted)}]
    folder = tmp_path / table / f"date={day}"
    if not wanted:
        assert not folder.exists()
        return
    with (folder / "part-00000.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(COLUMNS[table])
    assert [row["reportId"] for row in read] == wanted
    packed = rows_of((folder / "part-00000.parquet").read_bytes())
    assert list(packed[0]) == list(COLUMNS[table])
    assert [row["reportId"] for row in packed] == wanted
    assert {row["complete"] for row in packed} == {back > 0}
    manifest = front.manifest(day)
    assert {row["revision"] for row in packed} == {manifest["tables"]["revision"] if back else 0}
    names = [f"part-00000.{form}" for form in ("csv", "jsonl", "parquet")]
    assert sorted(each.name for each in folder.iterdir()) == names


def test_days_that_are_not_complete_are_refused_or_marked(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    ask = ("export", *WINDOW, "--table", "meetings", "--output", str(tmp_path / "x"))
    refused = run(front, *ask)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("attendance: Not complete yet: ")
    assert f"{TODAY}. --include-incomplete" in refused.stderr
    assert not (tmp_path / "x").exists()
    assert told(front, *ask, "--include-incomplete") == [{"table": "meetings", "rows": len(past)}]


def test_a_workbook_has_a_sheet_for_each_table(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "attendance.xlsx"
    ask = ("export", *WINDOW, "--include-incomplete", "--format", "xlsx", "--output")
    counts = told(front, *ask, str(file))
    with zipfile.ZipFile(file) as book:
        sheets = [
            book.read(f"xl/worksheets/sheet{number}.xml").decode()
            for number in range(1, len(ExportTable) + 1)
        ]
        assert re.findall(r'<sheet name="(\w+)"', book.read("xl/workbook.xml").decode()) == list(ExportTable)
    assert [text.count("<row ") - 1 for text in sheets] == [each["rows"] for each in counts]
    assert counts[0]["rows"] == len(past)
    assert file.stat().st_mode & 0o077 == 0
    wrong = run(front, *ask, str(tmp_path / "folder"))
    assert (wrong.returncode, "give --output NAME.xlsx" in wrong.stderr) == (2, True)


def test_an_export_into_the_container_is_written_and_taken_away(
    front: Front, past: list[dict[str, Any]]
) -> None:
    ask = ("export", *WINDOW, "--include-incomplete", "--into-container")
    assert sum(each["rows"] for each in told(front, *ask)) > len(past)
    names = list(front.container.list_blob_names(name_starts_with="exports/meetings/"))
    assert f"exports/meetings/date={TODAY - timedelta(days=2)}/part-00000.parquet" in names
    front.container.upload_blob(f"exports/meetings/date={TODAY}/part-00000.csv", b"old")
    told(front, *ask, "--format", "csv")
    day_without = f"exports/meetings/date={TODAY}/part-00000.csv"
    assert bool(of_day(past, 0)) == (day_without in front.container.list_blob_names())


def test_an_export_with_pseudonyms_names_nobody(
    front: Front, past: list[dict[str, Any]], tmp_path: Path
) -> None:
    ask = ("export", *WINDOW, "--include-incomplete", "--format", "csv", "--pseudonymise", "--output")
    for folder in ("a", "b"):
        told(front, *ask, str(tmp_path / folder), ATTENDANCE_PSEUDONYM_KEY="a key that is long enough")
    told(front, *ask, str(tmp_path / "c"))
    text, same, other = (
        "".join(each.read_text() for each in sorted((tmp_path / folder).rglob("*.csv"))) for folder in "abc"
    )
    assert text == same
    assert text != other
    for line in past:
        report = stored(front, line["path"])
        known = [line["id"], line["meetingId"], line["organizerId"], line["joinWebUrl"]]
        for record in report["attendanceRecords"]:
            identity = record.get("identity") or {}
            known += [record.get("emailAddress"), identity.get("id"), identity.get("displayName")]
        assert not [each for each in known if each and each in text]
    short = run(front, *ask, str(tmp_path / "d"), ATTENDANCE_PSEUDONYM_KEY="short")
    assert (short.returncode, "fewer than 16" in short.stderr) == (1, True)


@pytest.mark.parametrize("where", [(), ("--output", "x", "--into-container")])
def test_an_export_goes_to_one_place(front: Front, where: tuple[str, ...]) -> None:
    done = run(front, "export", *WINDOW, *where)
    assert (done.returncode, done.stderr) == (
        2,
        "attendance: Give either --output PATH or --into-container.\n",
    )


def test_a_question_in_sql_is_answered(front: Front, past: list[dict[str, Any]], tmp_path: Path) -> None:
    sql = "SELECT reportId, meetingStart FROM meetings ORDER BY meetingEnd, reportId"
    asked = ("sql", *WINDOW)
    found = told(front, *asked, sql)
    assert sorted(each["reportId"] for each in found) == sorted(line["id"] for line in past)
    assert {each["meetingStart"] for each in found} == {line["start"] for line in past}
    (tmp_path / "q.sql").write_text(sql)
    assert told(front, *asked, "--file", str(tmp_path / "q.sql")) == found
    day = str(TODAY - timedelta(days=DAYS - 1))
    only = told(front, "sql", "--from", day, "--to", day, "FROM days")
    assert [(each["date"], each["complete"], each["reports"]) for each in only] == [(day, True, 3)]
    people = tmp_path / "people.csv"
    people.write_text(f"objectId,department\n{past[0]['organizerId']},Sales\n")
    joined = told(
        front,
        *asked,
        "SELECT DISTINCT department FROM attendees JOIN people ON personKey = objectId",
        "--with",
        f"people={people}",
    )
    assert joined == [{"department": "Sales"}]
    columns = told(front, "sql")
    assert {"view": "attendees", "column": "netSeconds", "type": "BIGINT"} in columns
    assert {each["view"] for each in columns} == set(VIEWS)
    table = run(front, *asked, "SELECT 1 AS one, 1 AS one, [1, 2] AS list", "--output", "csv")
    assert table.stdout == 'one,one_1,list\n1,1,"1, 2"\n'
    assert "Not complete yet: " in table.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["SELEC 1"], 2, 'DuckDB: Parser Error: syntax error at or near "SELEC"'),
        (["FROM nothing"], 2, "DuckDB: Catalog Error: Table with name nothing does not exist!"),
        (["SELECT 'a'::INT"], 1, "DuckDB: Conversion Error: Could not convert string 'a' to INT32"),
        (["FROM range(100001)"], 1, "The answer has more than 100,000 rows"),
        (["FROM '/etc/passwd'"], 2, "DuckDB: Catalog Error"),
        (["FROM read_text('/etc/passwd')"], 1, 'DuckDB: Permission Error: Cannot access file "/etc/passwd"'),
        (["SELECT 1", "--file", "x.sql"], 2, "Give either the SQL or --file FILE."),
        (["SELECT 1", "--with", "days=x.csv"], 2, "--with days=x.csv: give NAME=FILE"),
        (["SELECT 1", "--with", "a=x.doc"], 2, "--with a=x.doc: the file must end in one of"),
        (["SELECT 1", "--with", "a=x.csv"], 1, "x.csv: No such file or directory."),
    ],
)
def test_a_question_that_cannot_be_answered_is_said_in_a_sentence(
    front: Front, past: list[dict[str, Any]], arguments: list[str], code: int, sentence: str
) -> None:
    day = str(TODAY - timedelta(days=DAYS - 1))
    done = run(front, "sql", "--from", day, "--to", day, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"attendance: {sentence}")
    assert done.stderr.count("\n") == 1


def everything(front: Front) -> str:
    """All that lies in both containers, but for logs of nobody."""
    found = []
    for container in (front.container, front.apart):
        for blob in container.list_blobs(include=["metadata"]):
            body = container.download_blob(blob.name).readall()
            body = gzip.decompress(body) if blob.name.endswith(".gz") else body
            found.append(f"{blob.name} {blob.metadata} {body.decode(errors='replace')}")
    return "\n".join(found)


def test_a_person_is_found_and_erased_and_does_not_come_back(
    front: Front, past: list[dict[str, Any]]
) -> None:
    line = of_day(past, DAYS - 1)[0]
    who, before = line["organizerId"], stored(front, line["path"])
    told(front, "export", *WINDOW, "--include-incomplete", "--into-container", "--format", "csv")
    found = told(front, "person", "find", who.upper(), *WINDOW)
    assert line["path"] in [each["path"] for each in found]
    assert told(front, "person", "find", "nobody@contoso.example", *WINDOW) == []
    revision = front.manifest(TODAY - timedelta(days=DAYS - 1))["revision"]

    (counted,) = told(front, "person", "erase", who, "--dry-run")
    assert who in everything(front)
    (done,) = told(front, "person", "erase", who.upper(), "--yes", "--quiet", "0")
    assert (done["reports"], done["left"]) == (len(found), 0)
    assert (counted["reports"], counted["outcomes"]) == (done["reports"], done["outcomes"])
    assert done["outcomes"] >= 1
    assert done["exports"] >= 3
    assert who not in everything(front)
    assert told(front, "person", "find", who, *WINDOW) == []
    after = stored(front, line["path"])
    assert after["totalParticipantCount"] == before["totalParticipantCount"]
    seconds = "totalAttendanceInSeconds"
    assert [each[seconds] for each in after["attendanceRecords"]] == [
        each[seconds] for each in before["attendanceRecords"]
    ]
    sealed = TODAY - timedelta(days=DAYS - 1)
    assert front.manifest(sealed)["revision"] > revision
    assert front.has_tables(sealed)

    (record,) = front.apart.list_blob_names(name_starts_with="erasures/")
    assert front.state(record)["complete"] is True
    front.stack.kill_functions()  # the next ones know the record at once
    front.stack.await_functions()
    for path in [each["path"] for each in found]:
        front.container.delete_blob(path)
    told(front, "backfill", *WINDOW, "--wait")  # Graph still has the reports
    eventually(lambda: all(stored(front, each["path"]) for each in found), "the reports")
    assert stored(front, line["path"]) == after
    assert who not in everything(front)
    (again,) = told(front, "person", "erase", who, "--yes", "--quiet", "0")
    assert (again["reports"], again["outcomes"]) == (0, 0)


def test_without_the_key_nobody_is_erased(front: Front, past: list[dict[str, Any]]) -> None:
    done = run(front, "person", "erase", past[-1]["organizerId"], "--yes", ERASURE_KEY="")
    assert (done.returncode, "ERASURE_KEY is not set" in done.stderr) == (1, True)
    assert stored(front, past[-1]["path"])["id"] == past[-1]["id"]


def test_nobody_is_erased_without_a_yes(front: Front, past: list[dict[str, Any]]) -> None:
    done = run(front, "person", "erase", past[-1]["organizerId"])
    assert done.returncode == 1
    assert "reports" in done.stderr
    assert stored(front, past[-1]["path"]).get("id") == past[-1]["id"]


def test_earlier_versions_are_told_from_current_ones() -> None:
    container = MagicMock()
    blob = "reports/date=2026-11-23/r.json"
    container.list_blobs.return_value = [
        SimpleNamespace(name=blob, version_id="1", is_current_version=None),
        SimpleNamespace(name=blob, version_id="2", is_current_version=True),
        SimpleNamespace(name=f"{blob}x", version_id="1", is_current_version=None),
        SimpleNamespace(name=blob, version_id=None, is_current_version=None),
    ]
    found = list(erase.earlier_versions(container, "reports/"))
    assert [(each.name, each.version_id) for each in found] == [(blob, "1"), (f"{blob}x", "1")]
