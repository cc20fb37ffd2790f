"""The parts of the storm's checker, and the faults that prove the whole."""

import base64
import hashlib
import io
import json
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from azure.storage.blob import ContainerClient

from local.stack import storage
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from shared import times
from shared.tables.columns import COLUMNS, Table
from shared.tables.parquet import write_parquet
from tests.storm import broken, erased, steps, tables
from tests.storm.erased import Person
from tests.storm.steps import Request, Strikes
from tests.storm.worsening import Worsening

DAY = "2026-11-02"
FRIDA = Person("8b081ef6-4792-4def-b2c9-c363a1bf41d5", "frida@contoso.example")


def put(path: str, body: bytes = b"", **headers: str) -> Request:
    return Request(
        "PUT",
        path.replace("=", "%3D"),
        {name.replace("_", "-"): value for name, value in headers.items()},
        body,
    )


def message(queue: str, text: str) -> Request:
    content = base64.b64encode(text.encode()).decode()
    body = f"<QueueMessage><MessageText>{content}</MessageText></QueueMessage>".encode()
    return Request("POST", f"/host/{queue}/messages?visibilitytimeout=4", {}, body)


@pytest.mark.parametrize(
    ("step", "request_"),
    [
        (steps.REPORT, put(f"/data/attendance/reports/date={DAY}/r.json")),
        (steps.SWAP, put("/host/attendance-state/signals/cr-a.json")),
        (steps.PUBLISH, put(f"/data/attendance/outcomes/date={DAY}/cr-a.json")),
        (
            steps.SEND,
            message("meeting-signals", '{"version":2,"kind":"nudge","signalId":"cr-a","attempt":1}'),
        ),
        (steps.NEWS, message("meeting-signals", '{"version":2,"kind":"news","signalId":"cr-a"}')),
        (steps.TASK, message("upkeep", '{"version":1,"kind":"writeDaily"}')),
        (
            steps.MANIFEST,
            put(f"/data/attendance/manifests/date={DAY}/manifest.json", x_ms_meta_tables="false"),
        ),
        (steps.NAMING, put(f"/data/attendance/manifests/date={DAY}/manifest.json", x_ms_meta_tables="true")),
        (steps.INDEX, put(f"/data/attendance/manifests/date={DAY}/reports.jsonl")),
        (steps.ATTENDEES, put(f"/data/attendance/tables/attendees/date={DAY}/part-0.parquet")),
    ],
)
def test_a_request_shows_its_step(step: str, request_: Request) -> None:
    assert [name for name, holds in steps.STEPS.items() if holds(request_)] == [step]


def test_strikes_come_at_their_requests_and_each_once() -> None:
    strikes = Strikes(2, 6, Random(1))
    swap, file = (
        put("/host/attendance-state/signals/cr-a.json"),
        put("/data/attendance/tables/attendees/date=x/y"),
    )
    assert strikes.due(swap) is None, "held"
    strikes.is_held = False
    found = [strikes.due(each) for each in [swap] * 5 + [file] * 5]
    assert [each.name for each in found if each] == [
        "after the swap of the record",
        "after the file of attendees",
    ]
    assert strikes.missed == []
    assert strikes.done.total() == 2


def test_a_write_that_says_less_than_the_one_before_is_told() -> None:
    watch, name = Worsening(), f"/data/attendance/reports/date={DAY}/r.json"
    outcome = f"/data/attendance/outcomes/date={DAY}/cr-a.json"
    for records in ([1, 2, 2, 2, 2], [1, 2, 3], [1]):
        watch.wrote(put(name, json.dumps({"attendanceRecords": records}).encode()))
    for result in ("pending", "stored", "failed"):
        watch.wrote(put(outcome, x_ms_meta_outcome=result))
    assert watch.found == ["report r had 3 records, and has 1", "cr-a was stored, and is failed"]
    assert watch.watches(put(outcome))
    assert not watch.watches(Request("PUT", f"{outcome}?comp=metadata", {}, b""))


@pytest.fixture
def container(azurite: Azurite, identity: Identity) -> ContainerClient:
    service = storage.blob_service(azurite, identity)
    return service.create_container(f"test-{uuid4()}")


def report(records: int = 1) -> dict[str, Any]:
    stay = {"joinDateTime": f"{DAY}T09:00:00.1234567Z", "leaveDateTime": f"{DAY}T09:30:00Z"}
    person = {"@odata.type": "#user", "id": FRIDA.id, "displayName": "Frida"}
    record = {
        "id": FRIDA.id,
        "emailAddress": FRIDA.address,
        "totalAttendanceInSeconds": 1800,
        "role": "Organizer",
        "identity": person,
        "attendanceIntervals": [stay],
    }
    return {"id": "r", "meetingEndDateTime": f"{DAY}T09:30:00Z", "attendanceRecords": [record] * records}


def seal(container: ContainerClient, row: dict[str, Any], complete: bool = True) -> None:
    """A day with one report, and tables with this row of an attendee."""
    name = f"reports/date={DAY}/r.json"
    container.upload_blob(name, json.dumps(report()), overwrite=True)
    index = json.dumps({"id": "r", "path": name}).encode() + b"\n"
    container.upload_blob(f"manifests/date={DAY}/reports.jsonl", index, overwrite=True)
    moment = tables._moment(f"{DAY}T09:30:00Z")
    stays = [{"join": tables._moment(f"{DAY}T09:00:00.123Z"), "leave": moment}]
    whole = {"recordNumber": 0, "recordId": FRIDA.id, "emailAddress": FRIDA.address, "role": "Organizer"}
    whole |= {"attendedSeconds": 1800, "intervals": stays, "reportId": "r"}
    named = {"revision": 1, "index": hashlib.sha256(index).hexdigest(), "engagements": []}
    for table, rows in (
        ("meetings", [{"reportId": "r", "meetingEnd": moment, "records": 1}]),
        ("attendees", [whole | row]),
    ):
        file = io.BytesIO()
        lines = "".join(json.dumps(row, default=times.text) + "\n" for row in rows)
        write_parquet(io.BytesIO(lines.encode()), COLUMNS[Table(table)], file)
        path, body = f"tables/{table}/date={DAY}/part.parquet", file.getvalue()
        container.upload_blob(path, body, overwrite=True)
        told = {"path": path, "rows": 1, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        named[table] = [told]
    manifest = {"complete": complete, "revision": 1, "tables": named}
    container.upload_blob(f"manifests/date={DAY}/manifest.json", json.dumps(manifest), overwrite=True)


def test_tables_that_are_not_as_the_reports_are_told(container: ContainerClient) -> None:
    seal(container, {})
    assert tables.problems(container) == (2, [])
    seal(container, {"attendedSeconds": 1})
    assert tables.problems(container)[1] == [f"{DAY}: report r has other attendees in the tables"]
    seal(container, {"reportId": "s"})
    assert tables.problems(container)[1] == [f"{DAY}: report r has other attendees in the tables"]


def test_whatever_names_an_erased_person_is_told(container: ContainerClient) -> None:
    encoded = base64.b64encode(f"1*{FRIDA.id}*0**19:meeting_x@thread.v2".encode()).decode()
    container.upload_blob("plain.json", json.dumps({"who": f"SMTP:{FRIDA.address.upper()}"}))
    container.upload_blob("coded.json", json.dumps({"meeting": encoded}))
    container.upload_blob("metadata.json", b"{}", metadata={"organizerid": FRIDA.id})
    container.upload_blob("another.json", b"wilfrida@contoso.example, xfrida@contoso.example")
    seal(container, {})
    found = {each.partition(" ")[0] for each in erased.problems([container], [FRIDA])}
    tabled = {f"tables/attendees/date={DAY}/part.parquet", f"reports/date={DAY}/r.json"}
    assert found == {"plain.json", "coded.json", "metadata.json"} | tabled


def test_a_report_without_an_erased_person_is_what_must_be_stored() -> None:
    must = erased.without(report(2), [FRIDA])
    kept = {**must["attendanceRecords"][0], "id": "erased-1"}
    stored = {**report(2), "attendanceRecords": [kept, kept]}
    assert erased.comparable(stored, report(2), [FRIDA]) == must
    assert erased.comparable(report(2), report(2), [FRIDA]) != must


@pytest.mark.parametrize("fault", broken.FAULTS, ids=lambda fault: fault.name)
def test_each_fault_can_still_be_put_into_the_app(fault: broken.Broken) -> None:
    for change in fault.changes:
        text = (broken.ROOT / "shared" / change.module).read_text()
        compile(broken.changed(text, change), change.module, "exec")


def test_the_table_of_faults_stays_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "storm.md"
    page.write_text("# Storm\n\nrun\n")
    proofs = [broken.Proof("it rains", True, ["Missing: a.", "Missing: b.", "Missing: c."])]
    broken.write_section(page, broken.section(proofs, 300))
    broken.write_section(page, broken.section(proofs, 300))
    assert page.read_text().startswith(f"# Storm\n\nrun\n\n{broken.HEADING}\n\n")
    assert broken.kept_section(page).endswith("| it rains | yes | Missing: a; Missing: b; and 1 more |")
    assert broken.kept_section(page).count(broken.HEADING) == 1


def test_who_organized_most_is_erased_first_and_then_who_attended_most() -> None:
    def attended(number: int, role: str = "Attendee") -> dict[str, Any]:
        return {"id": str(number), "emailAddress": f"p{number}@Contoso.example", "role": role}

    stranger = {"id": "x", "emailAddress": "x@fabrikam.example", "role": "Organizer"}
    truth = [
        {"attendanceRecords": [attended(1, "Organizer"), attended(2), attended(3)]},
        {"attendanceRecords": [attended(1, "Organizer"), attended(2), stranger]},
        {"attendanceRecords": [attended(4, "Organizer"), attended(2), stranger]},
    ]
    chosen = erased.choose(dict(enumerate(truth)), 2)  # type: ignore[arg-type]
    assert [each.id for each in chosen] == ["1", "2"]
