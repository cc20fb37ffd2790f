"""The documents agree with the code: tables, examples and links.

A failure prints what the document should say. Nothing here needs the local stack.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import typer

from local.stack.compose import Stack
from shared import __version__, settings, times
from shared.archive import reports as archive
from shared.archive.invitees import ListFile
from shared.archiving import backoff
from shared.cli import main
from shared.days import index, manifests, sealing
from shared.days.manifests import Manifest
from shared.graph import reports, verbatim_json
from shared.graph.client import Graph
from shared.graph.invitees import MAX_INVITEES, InviteeList, ListState
from shared.ledger import record as ledger_record
from shared.ledger.merge import merge_attempt
from shared.messages import codec, signals, tasks
from shared.messages.signals import (
    EventKind,
    EventSession,
    Meeting,
    MeetingDetails,
    Message,
    News,
    Nudge,
)
from shared.storage import names
from shared.tables import rows
from shared.tables.columns import COLUMNS, KEYS, MEETING, Table
from shared.upkeep import HANDLERS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
CONSUMERS = (ROOT / "docs/consumers.md").read_text()
OPERATORS = (ROOT / "docs/operators.md").read_text()
LOCAL = (ROOT / "docs/local.md").read_text()


def test_settings_are_those_of_the_code() -> None:
    shown = re.search(r"<!-- settings -->\n(.*)\n<!-- /settings -->", SETTINGS, re.DOTALL)
    assert shown
    assert shown[1] == settings_table()


def test_readme_names_no_make_target_that_is_missing() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    documents = [path.read_text() for path in markdown_files()]
    named = set(re.findall(r"(?:`|^)(?:[A-Z_]+=\S+ )?make ([a-z]+)", "\n".join(documents), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_documents_name_the_wheel_of_this_version() -> None:
    documents = "\n".join(path.read_text() for path in markdown_files())
    named = set(re.findall(r"teams_attendance_reports-[\w.]+-py3-none-any\.whl", documents))
    assert named == {f"teams_attendance_reports-{__version__}-py3-none-any.whl"}


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        pytest.param(CONSUMERS, "| `outcome` | Is there a report? |", id="consumers"),
        pytest.param(OPERATORS, "| `outcome` | Meaning | What to do |", id="operators"),
    ],
)
def test_outcome_tables_hold_every_result_and_no_other(document: str, heading: str) -> None:
    listed = names_in(document, heading)
    assert sorted(listed) == sorted(ledger_record.Result)


def test_blob_names_are_those_that_the_code_makes() -> None:
    report, outcome = example("report"), example_record()
    end = times.parse(report["meetingEndDateTime"])
    assert end
    report_name = archive.report_name(report["id"], end)
    outcome_name = names.day_blob_name("outcomes", outcome.day, outcome.signal_id)
    day = end.date().isoformat()
    for what, placeholder, identifier, name in (
        ("report", "<reportId>", report["id"], report_name),
        ("outcome", "<signalId>", outcome.signal_id, outcome_name),
        ("manifest of a day", "", "", manifests.manifest_name(end.date())),
        ("index of a day's reports", "", "", index.index_name(end.date())),
        ("feed of erasures", "", "", manifests.ERASURES),
    ):
        pattern = name.replace(day, "YYYY-MM-DD").replace(identifier or placeholder, placeholder)
        assert f"| {what} | `{pattern}` | `{name}` |" in CONSUMERS
    assert set(re.findall(r"(?:reports|outcomes)/date=\d\S+?\.json", README)) == {report_name, outcome_name}


def test_characters_that_a_blob_name_keeps() -> None:
    kept = re.search(r"letters, digits and `([^`]+)` stand for themselves", CONSUMERS)
    assert kept
    printable = "".join(map(chr, range(0x21, 0x7F)))
    assert sorted(kept[1]) == [
        char for char in printable if names.encode_name_part(char) == char and not char.isalnum()
    ]


def test_example_outcome_is_written_as_it_is_shown() -> None:
    shown = example("outcome")
    written = json.loads(ledger_record.dump_outcome(example_record()))
    assert list(written.items()) == list(shown.items())
    table = names_in(CONSUMERS, "| Property | Meaning |")
    assert sorted(table) == sorted(written)


def test_table_of_outcomes_that_follow_each_other_is_what_the_code_decides() -> None:
    rows = re.findall(r"^\| (`.*?) \| (any other|no other)(.*?) \|$", CONSUMERS, re.MULTILINE)
    told = {
        name: {name}
        | (set(ledger_record.Result) - set(re.findall(r"`(\w+)`", but)) if which == "any other" else set())
        for outcomes, which, but in rows
        for name in re.findall(r"`(\w+)`", outcomes)
    }
    known = {each: replace(example_record(), result=each) for each in ledger_record.Result}
    decided = {
        old: {
            merged.result
            for new in known
            if (merged := merge_attempt(known[old], known[new], known[old].attempt))
        }
        for old in known
    }
    assert told == decided


def test_outcome_metadata_is_what_the_code_writes() -> None:
    told = section(CONSUMERS, "Metadata of an outcome")
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", told, re.MULTILINE))
    known = replace(
        example_record(),
        revision=2,
        stored=example_record().settled,
        commits=(ledger_record.Commit("5f0c9d2ab1e47386", times.now(), "attempt"),),
        meeting=replace(example_record().meeting, version=1),
    )
    denied = ledger_record.outcome_metadata(replace(known, result=ledger_record.Result.ACCESS_DENIED))
    unknown = ledger_record.outcome_metadata(
        replace(known, result=ledger_record.Result.NOT_FOUND, meeting=Meeting())
    )
    written = ledger_record.outcome_metadata(known) | {
        "organizerid": denied["organizerid"],
        "unconfirmed": unknown["unconfirmed"],
    }
    assert shown == written


def example_location(outcome: dict[str, Any]) -> reports.MeetingReports:
    """Where the example of a report lies, with the details in the example of its line."""
    details = codec.decode(MeetingDetails, example("line"))
    organizer, meeting, url = (outcome[name] for name in ("organizerId", "meetingId", "joinWebUrl"))
    return reports.MeetingReports(organizer, meeting, url, details=details)


def test_report_metadata_is_what_the_code_writes() -> None:
    report, outcome = example("report"), example("outcome")
    where = example_location(outcome)
    with reports.read_report(graph_with(report), where, report["id"]) as read:
        written = archive.report_metadata(read, where) | {
            archive.PARTIAL: "true",
            archive.UNKNOWN_PROPERTIES: "attendanceRecords/mood,weather",
        }
        written |= ListFile.of(codec.decode(InviteeList, example("invitees"))).metadata
        written[archive.STORED] = example("line")["stored"]
    shown = dict(
        re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section(CONSUMERS, "Metadata of a report"), re.MULTILINE)
    )
    assert shown == written
    longest = re.search(r"more than ([\d,]+) characters", section(CONSUMERS, "Metadata of a report"))
    assert longest
    assert longest[1] == f"{names.MAX_HEADER:,}"


def test_example_line_of_the_index_is_what_the_code_writes() -> None:
    report, outcome, shown = example("report"), example("outcome"), example("line")
    where = example_location(outcome)
    with reports.read_report(graph_with(report), where, report["id"]) as read:
        name = archive.report_name(read.id, read.end)
        metadata = {
            key: names.decode_name_part(value) for key, value in archive.report_metadata(read, where).items()
        } | {archive.STORED: shown["stored"]}
        metadata |= ListFile.of(codec.decode(InviteeList, example("invitees"))).metadata
        (line,) = index.index_lines([archive.ReportSummary(read.id, name, read.size, metadata)])
    written = json.loads(line)
    assert list(written.items()) == list(shown.items())
    assert sorted(names_in(CONSUMERS, "| In a line | Meaning |")) == sorted(written)


def test_example_manifest_is_written_as_it_is_shown() -> None:
    shown = example("manifest")
    written = json.loads(manifests.serialize_manifest(codec.decode(Manifest, shown)))
    assert list(written.items()) == list(shown.items())
    assert sorted(names_in(CONSUMERS, "| In a manifest | Meaning |")) == sorted(written)
    assert set(shown["outcomes"]) <= set(ledger_record.Result)


def test_example_row_of_the_table_is_what_the_code_writes() -> None:
    tenant = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
    (row, *_) = rows.attendee_rows(example("report"), example("line"), tenant)
    shown = example("row")
    assert list(shown.items()) == [*row.items(), *((name, shown[name]) for name in ("revision", "writtenAt"))]
    assert list(shown) == list(COLUMNS[Table.ATTENDEES])
    assert names_in(CONSUMERS, "| Column | Meaning |") == list(shown)


def test_columns_of_an_invitee_are_those_of_the_code() -> None:
    told = names_in(CONSUMERS, "| Column of an invitee | Meaning |")
    assert told == [name for name in COLUMNS[Table.INVITEES] if name not in MEETING]
    listed = codec.decode(InviteeList, example("invitees"))
    attended = [row["attended"] for row in rows.invitee_rows(example("report"), example("line"), listed)]
    assert sorted(attended, key=str) == [None, True, True]


def test_states_of_lists_are_those_of_the_code() -> None:
    told = names_in(CONSUMERS, "| `inviteesState` | There is |")
    assert told == [*ListState, "null"]
    assert f"at most {MAX_INVITEES:,} entries" in section(CONSUMERS, "Invitees")


def test_tables_and_their_keys_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| `tables/(\w+)/` \| .*? \| (.*) \|$", CONSUMERS, re.MULTILINE))
    assert {name: tuple(re.findall(r"`(\w+)`", keys)) for name, keys in told.items()} == {
        table: ("date", *KEYS[table]) for table in Table
    }


def test_example_file_of_a_table_is_named_by_its_bytes() -> None:
    for table, files in example("manifest")["tables"]["files"].items():
        for each in files:
            assert each["path"].startswith(
                f"tables/{table}/date=2026-11-23/part-00000-{each['sha256'][:16]}."
            )
            assert set(each) == {"path", "rows", "bytes", "sha256", "schemaVersion"}


def test_manifest_metadata_is_what_the_code_writes() -> None:
    manifest = codec.decode(Manifest, example("manifest"))
    told = section(CONSUMERS, "Manifests")
    _, _, sentence = told.partition("The blob's metadata")
    named = re.findall(r"`(\w+)`", sentence.split("\n\n")[0])
    assert sorted(named) == sorted(manifests.manifest_metadata(manifest))


def test_day_is_final_when_the_code_says_so() -> None:
    window = timedelta(seconds=int({each.name: each.default for each in settings.TABLE}["RETRY_WINDOW"] or 0))
    told = section(CONSUMERS, "When a day is final")
    hours = (window + sealing.MAX_RECORD_DELAY) // timedelta(hours=1)
    assert f"ended more than {hours} hours ago" in told
    assert f"reaches back {sealing.REACH.days} days" in told


def test_sha256_snippet_gives_what_the_code_stores() -> None:
    snippet = re.search(r"<!-- sha256 -->\n```python\n(.*?)```", CONSUMERS, re.DOTALL)
    assert snippet
    assert snippet[1].count("\n") <= 16
    names: dict[str, Any] = {}
    exec(snippet[1], names)
    for report in (example("report"), awkward_report()):
        with reports.read_report(graph_with(report), reports.MeetingReports("o", "m"), report["id"]) as read:
            assert names["sha256"](read.body.read()) == read.sha256


def test_queue_message_tables_have_the_fields_that_are_written() -> None:
    news = News(
        signal_id="ve-e523d2ed-2966-4b6b-925b-754a88034cc5",
        first_seen=datetime(2026, 11, 23, 9, 44, 2, 218_000, UTC),
        subscription_id="5522bd62-7c96-4530-85b0-00b916f6151a",
        meeting=Meeting(
            end=datetime(2026, 11, 23, 9, 31, 42, tzinfo=UTC),
            join_url="https://teams.microsoft.com/meet/2345?p=x",
            organizer_id="8b081ef6-4792-4def-b2c9-c363a1bf41d5",
            event=EventSession(EventKind.WEBINAR, "f5b19e0c@7f1d3c52", "8c36cbd4"),
        ),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    nudge = Nudge("cr-e523d2ed-2966-4b6b-925b-754a88034cc5", 2, news.traceparent)
    told = section(OPERATORS, "Queue messages").split("On `upkeep`")[0]
    messages: tuple[Message, ...] = news, nudge
    for part, message in zip(told.split("a **nudge**"), messages, strict=True):
        unset = {each.name for each in fields(message) if getattr(message, each.name) == each.default}
        assert unset <= {"door", "waits", "packed"}  # the one door; the others are the app's own
        rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", part, re.MULTILINE)
        written = json.loads(signals.serialize_message(message))
        assert dict(rows) == {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in written.items()
        }


def test_messages_sent_by_hand_are_tasks() -> None:
    texts = re.findall(r"^text='(\{.*\})'$", OPERATORS, re.MULTILINE)
    assert {type(tasks.parse_task(text).job) for text in texts} == {
        tasks.Backfill,
        tasks.Redrive,
        tasks.RefreshDay,
    }


def test_table_of_upkeep_has_every_kind() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]*\| ", section(OPERATORS, "Queue messages"), re.MULTILINE)
    assert {job.kind for job in HANDLERS} <= set(rows)


def test_retry_table_is_what_the_schedule_gives() -> None:
    defaults = {setting.name: setting.default or "" for setting in settings.TABLE}
    first, now, attempts = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), ["0:00"]
    while (
        delay := backoff.delay(
            since=first,
            attempt=len(attempts) - 1,
            now=now,
            first_delay=int(defaults["RETRY_FIRST_DELAY"]),
            window=int(defaults["RETRY_WINDOW"]),
        )
    ) is not None:
        now += timedelta(seconds=delay)
        minutes = (now - first) // timedelta(minutes=1)
        attempts.append(f"{minutes // 60}:{minutes % 60:02}")
    assert f"| after | {' | '.join(attempts)} |" in OPERATORS


def test_log_events_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \|", section(OPERATORS, "Log events"), re.MULTILINE)
    assert sorted(rows) == sorted(logged_events())


def test_commands_in_the_documents_are_those_of_the_command_line() -> None:
    told = [line for path in markdown_files() for line in command_lines(path)]
    assert len(told) > 20
    assert [problem for line in told if (problem := wrong_with(line))] == []


def command_lines(path: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"(\.venv/bin/)?attendance ", line)]


def wrong_with(line: str) -> str:
    """The error that the command line would report; "" for none."""
    command: Any = typer.main.get_command(main.app)
    common = {option for each in command.params for option in each.opts}
    words = main.move_options_first(shlex.split(line, comments=True)[1:])
    while words and hasattr(command, "commands"):
        word = words.pop(0)
        if not word.startswith("-"):
            if word not in command.commands:
                return f"{line}: there is no command {word}"
            command = command.commands[word]
            continue
        known = common | {"--help"} | {option for each in command.params for option in each.opts}
        if word not in known:
            return f"{line}: there is no option {word}"
        if word in ("--settings", "--sign-in", "--client-id", "--output"):
            words.pop(0)
    options = {option for each in command.params for option in each.opts if option.startswith("-")}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    missing = [
        each.name
        for each in command.params
        if each.required and each.param_type_name == "option" and not set(each.opts) & set(words)
    ]
    return f"{line}: {unknown} {missing}" if unknown or missing else ""


def test_options_of_the_local_stack() -> None:
    command = [sys.executable, "-m", "local", "up", "--help"]
    usage = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", usage, re.MULTILINE))
    assert set(re.findall(r"^\| `(--[a-z-]+)", LOCAL, re.MULTILINE)) == options


def test_announcement_of_the_local_stack() -> None:
    shown = re.search(r"<!-- announcement -->\n```json\n(.*?)```", LOCAL, re.DOTALL)
    assert shown
    assert list(json.loads(shown[1])) == list(Stack.announcement(MagicMock()))


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_document_is_on_the_entry_page(path: Path) -> None:
    entry = (ROOT / "docs/index.md").read_text()
    assert path.name == "index.md" or f"({path.name})" in entry


def test_relative_links_resolve() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path in markdown_files()
        for link in relative_links(path)
        if not resolves(path, link)
    ]
    assert not broken


def settings_table() -> str:
    """The table of settings, from the code."""
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    for setting in settings.TABLE:
        default = "required" if setting.default is None else setting.default and f"`{setting.default}`"
        rows.append(f"| `{setting.name}` | {default} | {setting.meaning} |")
    return "\n".join(rows)


def test_each_odd_answer_of_graph_names_tests_that_exist() -> None:
    file, missing, count = "", [], 0
    document = (ROOT / "docs/graph-oddities.md").read_text()
    for path, name in re.findall(r"`(tests/[\w/]+\.py|…)::(\w+)`", document):
        file, count = (file if path == "…" else path), count + 1
        if f"def {name}(" not in (ROOT / file).read_text():
            missing.append(f"{file}::{name}")
    assert not missing
    assert count >= document.count("\n| ") - 2 * document.count("|---|")


def names_in(document: str, heading: str) -> list[str]:
    """The names in the first column of the table with this heading."""
    _, _, rest = document.partition(heading + "\n")
    table = rest[: rest.index("\n\n")].splitlines()[1:]
    return [name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def section(document: str, heading: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", document, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def example(name: str) -> dict[str, Any]:
    """The JSON example that consumers.md marks with this name."""
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", CONSUMERS, re.DOTALL)
    assert found, name
    content: dict[str, Any] = json.loads(found[1])
    return content


def example_record() -> ledger_record.Record:
    """The record behind the example of an outcome."""
    return ledger_record.load_outcome(json.dumps(example("outcome")).encode(), {})


def awkward_report() -> dict[str, Any]:
    """A report that makes hashes depend on their writer.

    Its order, annotations, number forms and text are unusual.
    """
    content: dict[str, Any] = verbatim_json.loads(
        '{"zeta":1E+2,"id":"r","@odata.context":"c","meetingEndDateTime":"2026-11-23T23:59:59.9999999Z",'
        '"meetingStartDateTime":null,"new":{"b":1.0,"a":-0,"x@odata.type":"t"},"attendanceRecords":'
        '[{"id":"b","name":"Zoë \\ud83d\\ude00 \\ud800"},{"id":"a","score":0.10},{"emailAddress":null},'
        '{"id":null,"role":"None"},{"id":"b","name":"\\ud800"},{"id":"b","name":"\ue000"}]}'
    )
    return content


def graph_with(report: dict[str, Any]) -> Graph:
    """A Graph that has one report, whose records come in two pages."""
    first, *others = report["attendanceRecords"]
    link = "attendanceRecords@odata.nextLink"
    page = {**report, "attendanceRecords": [first], link: "https://graph.microsoft.com/next"}

    def get(path: str, operation: str) -> dict[str, Any]:
        assert path.endswith("?$expand=attendanceRecords")
        return page

    def following(link: object, operation: str) -> Iterator[dict[str, Any]]:
        assert link == page["attendanceRecords@odata.nextLink"]
        yield {"value": others}

    return cast(Graph, SimpleNamespace(get=get, follow_links=following))


def logged_events() -> set[tuple[str, str]]:
    """Every event that the product logs, with its level, as its source names them."""
    events: set[tuple[str, str]] = set()
    for path in (ROOT / "function_app.py", *(ROOT / "shared").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="logs"), attr=level), args=[ast.expr() as event]
                ):
                    events |= {(name, level) for name in literals(event)}
    return events


def literals(event: ast.expr) -> list[str]:
    """The event names that an argument can be."""
    match event:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp(body=body, orelse=orelse):
            return literals(body) + literals(orelse)
    raise AssertionError(f"line {event.lineno}: an event is not named by a literal")


def markdown_files() -> Iterator[Path]:
    """The project's own documents."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name == ".github" or not name.startswith((".", "node_modules"))
        ]
        yield from (Path(folder, name) for name in files if name.endswith(".md"))


def relative_links(path: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def resolves(path: Path, link: str) -> bool:
    """Whether a link leads to a file or folder, and its fragment to a heading."""
    name, _, fragment = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not fragment or fragment in anchors(target)


def anchors(path: Path) -> set[str]:
    """The fragments of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
