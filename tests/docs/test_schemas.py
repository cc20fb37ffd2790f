"""The schemas are valid, and describe what the local stack stores and sends."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from local.simulator.tenant.orders import NewEvent, NewPast, NewSession
from shared.ledger.record import AttemptSeries, DeadLetter, Record, Result, dump_outcome
from shared.messages import codec, rich_notifications, signals, tasks
from shared.messages.rich_notifications import EncryptedBatch, RichItem
from shared.messages.signals import EventKind, EventSession, Message, Nudge
from shared.messages.tasks import Task
from shared.storage.watchlist import WatchedMeeting
from shared.tables.columns import COLUMNS, KEYS, SCHEMA_VERSION, Table
from shared.upkeep import HANDLERS
from tests.support.front import Front, own_stack
from tests.support.parquet import rows_of

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
URL = "https://teams.microsoft.com/meet/1"

stack = own_stack(SIGNALS="call-records,virtual-events", MEETING_DETAILS="subject,schedule,invitees")


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems(name: str, content: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(content)]


@pytest.mark.parametrize("file", sorted(SCHEMAS.glob("*.json")), ids=lambda file: file.name)
def test_a_schema_is_one(file: Path) -> None:
    schema = json.loads(file.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert f"`{file.name.removesuffix('.schema.json')}`" in (SCHEMAS / "README.md").read_text()


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
    for result in Result:
        assert (
            problems("outcome", json.loads(dump_outcome(Record("cr-a", result, NOW, 1, AttemptSeries(NOW)))))
            == []
        )
    for buried in (
        DeadLetter("upkeep", "redrive", 1, "0" * 64, "text"),
        DeadLetter("upkeep", None, None, "0" * 64),
    ):
        known = Record("msg-a", Result.FAILED, NOW, 0, AttemptSeries(NOW), buried=buried)
        assert problems("outcome", json.loads(dump_outcome(known))) == []


def test_a_watched_meeting_is_as_published() -> None:
    watched = WatchedMeeting(URL, "8b081ef6-4792-4def-b2c9-c363a1bf41d5")
    content = codec.encode(watched, full=True)
    assert problems("watch", content) == []
    assert problems("watch", content | {"organizerId": "frida"})


@pytest.mark.parametrize("table", list(Table))
def test_the_schema_of_a_row_has_the_columns_and_types_of_the_code(table: Table) -> None:
    arrow = {
        "string": "utf8",
        "long": "int64",
        "double": "float64",
        "boolean": "bool",
        "timestamp": "timestamp[us, UTC]",
    }

    def types(schema: dict[str, Any]) -> dict[str, Any]:
        columns = schema["properties"].items()
        return {
            name: [types(each["items"])] if "items" in each else each["arrowType"] for name, each in columns
        }

    def wanted(columns: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [wanted(kind[0])] if isinstance(kind, list) else arrow[kind]
            for name, kind in columns.items()
        }

    schema = json.loads((SCHEMAS / f"{table}-row.schema.json").read_text())
    assert types(schema) == wanted(COLUMNS[table])
    assert schema["required"] == list(COLUMNS[table])
    assert (schema["key"], schema["schemaVersion"]) == (["date", *KEYS[table]], SCHEMA_VERSION)


FOLDERS = {"reports": "report", "outcomes": "outcome", "manifests": "manifest", "invitees": "invitees"}


def as_text(moment: datetime) -> str:
    return moment.isoformat()


def test_everything_that_is_stored_is_as_published(front: Front) -> None:
    front.control.add_past(NewPast(days=3, meetings_per_day=3))
    event = front.control.add_event(NewEvent(announce=False, registered=5))
    held = NewSession(event.sessions[0].meeting_id, announce=False, announce_report=False)
    made = front.control.add_session(held)
    past = (datetime.now(UTC) - timedelta(days=3)).date()
    front.table(past)
    front.outcome(made.report_id, "stored", prefix="ve-")
    seen = set()
    for name in list(front.container.list_blob_names()):
        body = front.container.download_blob(name).readall()
        kind = name.split("/")[0]
        if kind == "tables":
            found = [
                (f"{name.split('/')[1]}-row", json.loads(json.dumps(row, default=as_text)))
                for row in rows_of(body)
            ]
        elif name.endswith("reports.jsonl"):
            found = [("index-line", json.loads(line)) for line in body.splitlines()]
        else:
            found = [
                (
                    FOLDERS[kind],
                    json.loads(body),
                )
            ]
        for schema, content in found:
            seen.add(schema)
            assert problems(schema, content) == [], name
    assert seen == {
        "report",
        "outcome",
        "manifest",
        "index-line",
        "meetings-row",
        "attendees-row",
        "engagements-row",
        "invitees",
        "invitees-row",
    }
