"""The schemas are valid, and describe what the local stack stores and sends."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from local.simulator.tenant.orders import NewEvent, NewPast, NewSession
from local.stack.program import ROOT
from shared.archive.reports import ReportSummary
from shared.days.index import RevisionReason, index_line
from shared.days.manifests import Manifest, TableFile, Tables, manifest_metadata, serialize_manifest
from shared.graph.invitees import InviteeKind, ListState
from shared.graph.reports import MeetingReports
from shared.ledger.record import (
    AttemptSeries,
    DeadLetter,
    Record,
    Result,
    StoredReport,
    dump_outcome,
    outcome_metadata,
)
from shared.messages import codec, rich_notifications, signals, tasks
from shared.messages.rich_notifications import EncryptedBatch, RichItem
from shared.messages.signals import EventKind, EventSession, Message, Nudge
from shared.messages.tasks import Task
from shared.storage.watchlist import WatchedMeeting
from shared.tables.columns import COLUMNS, KEYS, Table
from shared.tables.parquet import write_parquet
from shared.upkeep import HANDLERS
from tests.support.front import Front, own_stack
from tests.support.parquet import schema_of
from tests.support.published import SCHEMAS, documents, problems, problems_of

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
URL = "https://teams.microsoft.com/meet/1"

stack = own_stack(SIGNALS="call-records,virtual-events", MEETING_DETAILS="subject,schedule,invitees")


@pytest.mark.parametrize("file", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda file: file.name)
def test_a_schema_is_one(file: Path) -> None:
    schema, name = json.loads(file.read_text()), file.name.removesuffix(".schema.json")
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:teams-attendance-reports:schema:{name}"
    assert f"`{name}`" in (SCHEMAS / "README.md").read_text()


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SIGNALS: list[Message] = [
    signals.call_record_news("a", NOW),
    signals.call_record_news("a", NOW, subscription_id="s", traceparent=TRACE),
    signals.report_news("r", EventSession(EventKind.WEBINAR, "e", "s"), NOW),
    signals.call_event_news(URL, NOW, NOW, "o"),
    Nudge("cr-a", 0),
    Nudge("ve-r", 3, TRACE),
]


def test_every_signal_message_is_as_published() -> None:
    item = RichItem(URL, dict.fromkeys(rich_notifications.FIELDS, "A"), "s")
    sealed = EncryptedBatch((item, replace(item, subscription_id=None)), ("t",), NOW)
    texts = [
        *map(signals.serialize_message, SIGNALS),
        *signals.pack_messages(SIGNALS),
        *rich_notifications.pack_batch(sealed)[0],
    ]
    assert [problems("signal-message", json.loads(text)) for text in texts] == [[]] * len(texts)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "pack"},
        {"kind": "pack", "messages": []},
        {"kind": "party"},
        {"kind": "nudge"},
        {"signalId": "ve-r"},
        {"signalId": "ce-" + "0" * 64},
        {"signalId": "msg-0"},
        {"version": 1},
    ],
)
def test_a_signal_message_of_another_form_is_not(changes: dict[str, Any]) -> None:
    assert problems("signal-message", json.loads(signals.serialize_message(SIGNALS[0])) | changes)


def test_every_upkeep_message_is_as_published() -> None:
    jobs: list[tasks.Job] = [
        tasks.RenewSubscription("s"),
        tasks.MaintainSubscriptions(),
        tasks.NotificationsRefused(3),
        tasks.RecordValidation(),
        tasks.Sweep("full", 2),
        tasks.Backfill(NOW, NOW + timedelta(days=1)),
        tasks.Redrive(frozenset({"failed"}), NOW.date(), NOW.date(), opened=True, started=NOW, after="x"),
        tasks.Redrive(frozenset({"failed"}), NOW.date(), NOW.date(), signals=("cr-1", "ve-2")),
        tasks.Redrive(
            frozenset({"failed"}),
            NOW.date(),
            NOW.date(),
            signals=("cr-1",),
            backfill=(NOW.date(), NOW.date()),
        ),
        tasks.RefreshDay(NOW.date()),
        tasks.WriteDaily(NOW.date(), "0" * 64, 0, 1, 0, 10, 1),
        tasks.CleanTables(NOW.date()),
        tasks.CleanTables(NOW.date(), 3),
        tasks.SubscribeEvent(EventKind.TOWNHALL, "e"),
        tasks.DeleteSubscription("s"),
        tasks.Examine("0" * 32, ("8b081ef6-4792-4def-b2c9-c363a1bf41d5",)),
    ]
    texts = [tasks.serialize_task(Task(job)) for job in jobs]
    assert {json.loads(text)["kind"] for text in texts} == {job.kind for job in HANDLERS}
    assert [problems("upkeep-message", json.loads(text)) for text in texts] == [[]] * len(texts)


def test_every_outcome_is_as_published() -> None:
    begun = Record("cr-a", Result.PENDING, NOW, 1, AttemptSeries(NOW))
    report = StoredReport("r", NOW, "reports/date=2026-11-23/r.json", is_partial=False)
    for result in Result:
        settled = None if result is Result.PENDING else NOW
        reports = (report,) if result is Result.STORED else ()
        known = replace(begun, result=result, settled=settled, reports=reports)
        assert problems("outcome", json.loads(dump_outcome(known))) == []
        assert problems("outcome-metadata", outcome_metadata(known)) == []
    for buried in (
        DeadLetter("upkeep", "redrive", 1, "0" * 64, "text"),
        DeadLetter("upkeep", None, None, "0" * 64),
    ):
        known = Record("msg-a", Result.FAILED, NOW, 0, AttemptSeries(NOW), settled=NOW, buried=buried)
        assert problems("outcome", json.loads(dump_outcome(known))) == []


def test_a_watched_meeting_is_as_published() -> None:
    watched = WatchedMeeting(URL, "8b081ef6-4792-4def-b2c9-c363a1bf41d5")
    content = codec.encode(watched, full=True)
    assert problems("watch", content) == []
    assert problems("watch", content | {"organizerId": "frida"})


def test_the_schemas_of_the_tables_are_those_of_the_columns(tmp_path: Path) -> None:
    """After a change of columns: make schemas."""
    subprocess.run([sys.executable, ROOT / "scripts/schemas", tmp_path], check=True)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    published = {f"{table}-row.schema.json" for table in Table} | {"tables.json"}
    assert {file.name for file in SCHEMAS.glob("*-row.schema.json")} | {"tables.json"} == published
    assert written == {name: (SCHEMAS / name).read_text() for name in published}


def in_parquet(field: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """A field in Arrow's JSON form, and those in it, as a Parquet file has them: name, type and repetition."""
    kind, inner = field["type"], [each for child in field["children"] for each in in_parquet(child)]
    written: str | None
    match kind["name"]:
        case "int":
            written = f"INT{kind['bitWidth']}"
        case "floatingpoint":
            written = kind["precision"]
        case "timestamp":
            assert kind["timezone"] == "UTC"
            written = {"MICROSECOND": "TIMESTAMP_MICROS"}[kind["unit"]]
        case "list":
            written, inner = "LIST", [("list", None, "REPEATED"), *inner]
        case name:
            written = {"utf8": "UTF8", "bool": "BOOLEAN", "struct": None}[name]
    return [(field["name"], written, "OPTIONAL" if field["nullable"] else "REQUIRED"), *inner]


@pytest.mark.parametrize("table", list(Table))
def test_a_file_has_the_arrow_schema_that_is_published(table: Table) -> None:
    told = json.loads((SCHEMAS / "tables.json").read_text())["tables"][table]
    file = io.BytesIO()
    write_parquet(io.BytesIO(b"{}\n"), COLUMNS[table], file)
    assert [
        (each["name"], each["converted_type"] or each["type"], each["repetition_type"])
        for each in schema_of(file.getvalue())
    ] == [each for field in told["schema"]["fields"] for each in in_parquet(field)]
    assert all(field["nullable"] for field in told["schema"]["fields"])
    row = json.loads((SCHEMAS / f"{table}-row.schema.json").read_text())
    assert told["key"] == row["key"] == ["date", *KEYS[table]]


def known(schema: dict[str, Any]) -> set[str | None]:
    """The known values of an enumeration to which others may be added."""
    values, others = schema["anyOf"]
    assert others is True
    return set(values["enum"])


def test_enumerations_have_the_values_of_the_code_and_are_open() -> None:
    outcomes, sources = set(map(str, Result)), set(map(str, EventKind))
    every_source = {MeetingReports.source, *sources}
    schemas = {
        file.name.removesuffix(".schema.json"): json.loads(file.read_text())["properties"]
        for file in SCHEMAS.glob("*.schema.json")
    }
    for name in ("outcome", "outcome-metadata"):
        assert known(schemas[name]["outcome"]) == outcomes
    assert known(schemas["outcome"]["source"]) == {*sources, None}
    for name in ("index-line", "report-metadata", "meetings-row"):
        assert known(schemas[name]["source"]) == every_source
    assert known(schemas["manifest"]["reasons"]["items"]) == set(map(str, RevisionReason))
    assert known(schemas["index-line"]["inviteesState"]) == {*map(str, ListState), None}
    assert known(schemas["report-metadata"]["inviteesstate"]) == set(map(str, ListState))
    assert known(schemas["invitees"]["invitees"]["items"]["properties"]["kind"]) == set(map(str, InviteeKind))
    assert known(schemas["invitees-row"]["kind"]) == set(map(str, InviteeKind))
    assert known(schemas["manifest"]["outcomes"]["propertyNames"]) == outcomes


def test_a_schema_names_every_property_that_is_written() -> None:
    file = TableFile("tables/meetings/date=2026-11-23/part-00000-0.parquet", 1, 1, "0" * 64, 1)
    manifest = Manifest(
        NOW.date(), True, 1, {}, 1, None, NOW, tables=Tables(1, 1, "0" * 64, {"meetings": (file,)})
    )
    content = json.loads(serialize_manifest(manifest))
    report = ReportSummary("r", "reports/date=2026-11-23/r.json", 1, {})
    told: dict[str, set[str]] = {
        "manifest": set(content),
        "outcome": set(json.loads(dump_outcome(Record("cr-a", Result.PENDING, NOW, 0, AttemptSeries(NOW))))),
        "index-line": set(json.loads(index_line(report))),
        "manifest-metadata": set(manifest_metadata(manifest)),
    }
    for name, properties in told.items():
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        assert set(schema["properties"]) == set(schema["required"]) == properties, name
    tables = json.loads((SCHEMAS / "manifest.schema.json").read_text())["properties"]["tables"]
    assert set(tables["required"]) == set(content["tables"])
    files = tables["properties"]["files"]["additionalProperties"]["items"]
    assert set(files["required"]) == set(content["tables"]["files"]["meetings"][0])


def test_everything_that_is_stored_is_as_published(front: Front) -> None:
    front.control.add_past(NewPast(days=3, meetings_per_day=3))
    event = front.control.add_event(NewEvent(announce=False, registered=5))
    held = NewSession(event.sessions[0].meeting_id, announce=False, announce_report=False)
    made = front.control.add_session(held)
    past = (datetime.now(UTC) - timedelta(days=3)).date()
    front.table(past)
    front.outcome(made.report_id, "stored", prefix="ve-")
    seen = set[str]()
    for name in list(front.container.list_blob_names()):
        blob = front.container.download_blob(name)
        body, metadata = blob.readall(), blob.properties.metadata
        assert problems_of(name, body, metadata) == []
        seen.update(kind for kind, _ in documents(name, body, metadata))
    assert seen == {
        *("report", "outcome", "manifest", "index-line", "invitees", *(f"{table}-row" for table in Table)),
        *(
            "report-metadata",
            "outcome-metadata",
            "manifest-metadata",
            "index-metadata",
            "table-file-metadata",
            "invitees-metadata",
        ),
    }
