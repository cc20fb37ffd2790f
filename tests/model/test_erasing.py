"""An erased person stays erased, whichever way data comes in, and whatever shape it has."""

from __future__ import annotations

import base64
import gzip
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.exceptions import ResourceExistsError

from shared import times
from shared.archiving import worker
from shared.errors import AccessDenied, ErasureKeyError, NotFound
from shared.graph.meeting_details import decode_details
from shared.health import readings
from shared.ledger.record import Result
from shared.messages.signals import (
    Door,
    EventKind,
    EventSession,
    call_record_news,
    report_news,
    serialize_message,
)
from shared.privacy.identifiers import id_token, names
from shared.settings import INVITEES
from shared.storage import clients
from shared.storage.blobs import Blob, get_blob
from shared.tables.columns import STRING, Table
from shared.tables.parquet import write_parquet
from tests.support.blobs import coded
from tests.support.doubles import Call
from tests.support.erasing import erase, erasure, everything, wait_for
from tests.support.parquet import files_of, read_table, rows_of
from tests.support.simulated_app import DAY, HOUR, NOW, ORGANIZER, SETTINGS, App, Crash, call, crash, running

FRIDA = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
ADDRESS = "frida@contoso.example"
NAME = "Frída Ólsen"
ENDED = NOW - timedelta(minutes=10)
OTHER = {
    "id": "o1af0000-0000-4000-8000-000000000001",
    "emailAddress": "olaf@contoso.example",
    "identity": {"id": "o1af0000-0000-4000-8000-000000000001", "displayName": "Olaf"},
    "role": "Presenter",
}
ATTENDED = {
    "role": "Attendee",
    "totalAttendanceInSeconds": 60,
    "attendanceIntervals": [{"durationInSeconds": 60}],
}
USUAL = {"id": FRIDA, "emailAddress": ADDRESS, "identity": {"id": FRIDA, "displayName": NAME}, **ATTENDED}
INVITED = {
    "participants": {
        "attendees": [
            {
                "upn": ADDRESS.upper(),
                "role": "attendee",
                "identity": {"user": {"id": FRIDA, "displayName": NAME}},
            },
            {"upn": "olaf@contoso.example", "role": "presenter", "identity": {"user": {"id": OTHER["id"]}}},
            {"upn": f"smtp:{ADDRESS}", "role": "attendee", "identity": None},
        ]
    }
}
WITH_INVITEES = replace(SETTINGS, meeting_details=SETTINGS.meeting_details | {INVITEES})
TRACES = [FRIDA, ADDRESS, NAME.lower(), unicodedata.normalize("NFD", NAME).lower()]

# Each is a record of Frida's, as Graph or an older client of it may send it.
SHAPES: dict[str, dict[str, Any]] = {
    "usual": {**USUAL},
    "id alone": {"id": FRIDA.upper()},
    "address alone": {"id": "x", "emailAddress": "Frida@Contoso.Example"},
    "SMTP:": {"id": "x", "emailAddress": f"SMTP:{ADDRESS}"},
    "spaces": {"id": "x", "emailAddress": f" {ADDRESS}\u00a0"},
    "identity.email": {"id": "x", "identity": {"email": ADDRESS}},
    "userPrincipalName": {"id": "x", "identity": {"user": {"userPrincipalName": ADDRESS}}},
    "userPrincipalName beside": {"id": "x", "userPrincipalName": ADDRESS.upper()},
    "8:orgid:": {"id": "x", "identity": {"id": f"8:orgid:{FRIDA}"}},
    "nested": {"id": "x", "identity": {"user": {"id": FRIDA, "displayName": NAME}}},
    "no id": {"emailAddress": ADDRESS},
    "display name alone": {"id": "x", "identity": {"displayName": NAME}},
    "NFD": {"id": "x", "identity": {"displayName": unicodedata.normalize("NFD", NAME.upper())}},
    "name with spaces": {"id": "x", "identity": {"user": {"displayName": f" {NAME.replace(' ', '  ')} "}}},
}


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        app.services = app.another_instance(WITH_INVITEES)
        yield app


def held(
    app: App,
    *records: dict[str, Any],
    end: Any = ENDED,
    organizer: str = ORGANIZER,
    call_id: str = "one",
    is_invited: bool = True,
) -> Call:
    """A meeting with these attendance records, to which Frida is invited."""
    made = call(call_id, end, organizer=organizer)
    ((since, report),) = made.readings
    full = {
        **report,
        "@odata.context": f"https://graph/$metadata#users('{organizer}')/x",
        "totalParticipantCount": len(records),
        "attendanceRecords": list(records),
    }
    context = json.dumps({"Tid": "t", "Oid": organizer})
    record = {**made.record, "joinWebUrl": f"https://teams.microsoft.com/l/{call_id}?context={context}"}
    made = replace(made, record=record, readings=((since, full),), meeting=INVITED if is_invited else {})
    app.calls.append(made)
    return made


def archive(app: App, *call_ids: str) -> None:
    for each in call_ids or ("one",):
        app.announce(each)
    app.deliver()


def report(app: App) -> dict[str, Any]:
    (blob,) = app.container.below("reports/")
    content: dict[str, Any] = json.loads(blob.body)
    return content


def traces(app: App) -> list[str]:
    text = everything(app)
    return [each for each in TRACES if each in text]


def is_whole(app: App) -> None:
    """Frida is nowhere, and everybody else is there."""
    assert traces(app) == []
    records = report(app)["attendanceRecords"]
    assert OTHER in records
    (erased,) = [each for each in records if each != OTHER]
    assert erased["id"].startswith("erased-")
    assert erased["totalAttendanceInSeconds"] == 60


# What is stored


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_of_any_shape_is_found_and_erased(app: App, shape: str) -> None:
    held(app, OTHER, {**SHAPES[shape], **ATTENDED})
    archive(app)
    done = erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert (done.reports, done.left) == (1, set())
    is_whole(app)


def test_a_display_name_counts_only_where_it_is_asked_for(app: App) -> None:
    held(app, OTHER, {"id": "x", "identity": {"displayName": NAME}, **ATTENDED}, is_invited=False)
    archive(app)
    assert erase(app, FRIDA, ADDRESS).reports == 0
    assert report(app)["attendanceRecords"][1]["identity"]["displayName"] == NAME


def test_a_part_of_an_identifier_finds_nobody(app: App) -> None:
    held(app, OTHER, {**USUAL}, organizer=FRIDA)
    archive(app)
    before = everything(app)
    assert erasure(app, "com", "contoso.example", "frida", FRIDA[:8]).count().found == 0
    assert everything(app) == before


def test_a_first_run_counts_and_changes_nothing(app: App) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    before = everything(app)
    counted = erasure(app, FRIDA, ADDRESS).count()
    assert (counted.reports, counted.outcomes) == (1, 1)
    assert everything(app) == before
    done = erase(app, FRIDA, ADDRESS)
    assert (done.reports, done.outcomes) == (1, 1)


def test_what_is_left_in_free_text_is_reported_and_not_guessed(app: App) -> None:
    held(app, {**OTHER, "note": f"instead of {ADDRESS}"}, is_invited=False)
    archive(app)
    done = erase(app, ADDRESS)
    assert (done.reports, len(done.left)) == (0, 1)


def test_an_erased_record_has_the_same_id_in_any_order_of_records(app: App) -> None:
    made = held(app, OTHER, USUAL)
    archive(app)
    erase(app, FRIDA)
    before = app.container.below("reports/")[0].metadata["sha256"]
    ((since, content),) = made.readings
    turned = {**content, "attendanceRecords": list(reversed(content["attendanceRecords"]))}
    app.calls[:] = [replace(made, readings=((since, turned),))]
    app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
    app.deliver()
    assert app.container.below("reports/")[0].metadata["sha256"] == before


@pytest.mark.parametrize("organizer", [ORGANIZER, FRIDA])
def test_a_subject_that_quotes_the_person_goes_and_another_stays(app: App, organizer: str) -> None:
    for number, subject in enumerate(["Fire safety", f"1:1 {NAME}/Olaf", f"for {ADDRESS}"]):
        made = held(app, OTHER, organizer=organizer, call_id=str(number))
        app.calls[-1] = replace(made, meeting={"subject": subject})
        archive(app, str(number))
    app.run(days=3)
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert traces(app) == []
    index = app.container.blobs[f"manifests/date={ENDED.date()}/reports.jsonl"].body.splitlines()
    assert [json.loads(line)["subject"] for line in index] == ["Fire safety", None, None]
    app.services = app.another_instance()
    app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
    app.run(days=1)
    assert traces(app) == []


# The ways in which a person came back


def test_a_report_that_is_still_pending_is_redacted_when_it_comes(app: App) -> None:
    made = held(app, OTHER, USUAL, organizer=FRIDA)
    ready = replace(made, readings=((NOW + 3 * HOUR, made.readings[0][1]),))
    app.calls[:] = [ready]
    archive(app)
    assert app.results() == {"one": Result.PENDING}
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert traces(app) == []
    app.run(hours=12)
    assert app.results() == {"one": Result.STORED}
    is_whole(app)


def test_a_report_whose_end_moves_past_midnight_is_redacted_in_its_new_day(app: App) -> None:
    made = held(app, OTHER, USUAL)
    archive(app)
    done = erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert done.reports == 1
    ((_, content),) = made.readings
    later = {**content, "meetingEndDateTime": times.text(NOW - timedelta(minutes=1)), "more": "x" * 100}
    app.calls[:] = [replace(made, readings=((NOW, later),))]
    app.run(hours=12)
    is_whole(app)


def test_a_backfill_after_retention_deleted_the_erased_blob_is_redacted(app: App) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    for container, prefixes in ((app.container, ("reports/", "outcomes/")), (app.state, ("signals/",))):
        for prefix in prefixes:
            for blob in container.below(prefix):
                del container.blobs[blob.name]
    app.ask("backfill", "2026-11-24", "2026-11-24")
    app.run(days=1)
    assert app.results() == {"one": Result.STORED}
    is_whole(app)


@pytest.mark.parametrize("organizer", [ORGANIZER, FRIDA])
def test_a_redrive_of_an_erased_day_is_redacted(app: App, organizer: str) -> None:
    held(app, OTHER, USUAL, organizer=organizer)
    archive(app)
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    for blob in app.container.below("reports/"):
        del app.container.blobs[blob.name]
    app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
    app.run(days=1)
    is_whole(app)


def test_a_late_report_of_an_erased_day_is_redacted(app: App) -> None:
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    held(app, OTHER, USUAL, organizer=FRIDA)
    app.run(days=3)
    assert app.results() == {"one": Result.STORED}
    is_whole(app)
    assert app.manifest(ENDED.date()).tables.paths


def test_another_instance_after_a_restart_redacts_too(app: App) -> None:
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    held(app, OTHER, USUAL)
    app.services = app.another_instance()
    archive(app)
    is_whole(app)


def test_a_meeting_that_ends_after_the_erasure_is_archived_as_usual(app: App) -> None:
    erase(app, FRIDA, ADDRESS)
    held(app, OTHER, USUAL, end=app.now + timedelta(minutes=5))
    app.run(hours=1)
    archive(app)
    assert report(app)["attendanceRecords"] == [OTHER, USUAL]


def test_a_sealed_day_is_erased_from_index_table_and_versions(app: App) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    app.run(days=3)
    assert app.manifest(ENDED.date()).tables.paths
    assert traces(app) != []
    done = erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert done.versions > 0
    is_whole(app)
    assert app.manifest(ENDED.date()).tables.paths


def test_an_organizer_without_access_and_a_buried_message_are_erased(app: App) -> None:
    app.calls.append(call("one", ENDED, organizer=FRIDA, opens=NOW + 30 * DAY))
    archive(app)
    app.receive(clients.SIGNALS_QUEUE, json.dumps({"version": 9, "organizerId": FRIDA}))
    app.run(days=3)
    assert app.state.below("access/")
    assert FRIDA in everything(app)
    erase(app, FRIDA)
    assert FRIDA not in everything(app)
    app.run(days=3)
    assert FRIDA not in everything(app)


def test_a_function_that_does_not_know_the_record_yet_is_waited_for(app: App) -> None:
    """It began before the erasure, and writes what it read after the first scan."""
    held(app, OTHER, USUAL)
    app.services.erasures.current()  # and so for a minute
    job = erasure(app, FRIDA, ADDRESS, names=(NAME,))
    job.begin()

    def wait() -> None:
        archive(app)
        assert FRIDA in everything(app)
        app.run(hours=0.2)

    job.run(wait, lambda look: wait_for(app, look))
    assert job.summary.reports == 1
    is_whole(app)


def locked(app: App, monkeypatch: pytest.MonkeyPatch, name: str, *, is_readable: bool) -> None:
    """Have storage answer 409 whenever this blob is changed, or read."""

    def lock(operation: str) -> None:
        usual = getattr(app.container, operation)

        def refused(each: str, *args: Any, **options: Any) -> Any:
            if each == name:
                raise coded(ResourceExistsError("409"), "BlobArchived")
            return usual(each, *args, **options)

        monkeypatch.setattr(app.container, operation, refused)

    lock("upload_blob")
    lock("delete_blob")

    def read(container: Any, each: str) -> Blob | None:
        if each == name and not is_readable:
            raise coded(ResourceExistsError("409"), "BlobArchived")
        return get_blob(container, each)

    monkeypatch.setattr("shared.cli.erasure.erase.get_blob", read)


@pytest.mark.parametrize("is_readable", [True, False])
@pytest.mark.parametrize("folder", ["reports/", "exports/", "invitees/", "tables/"])
def test_an_erasure_says_which_blobs_storage_lets_nobody_change(
    app: App, monkeypatch: pytest.MonkeyPatch, folder: str, *, is_readable: bool
) -> None:
    held(app, OTHER, USUAL)
    archive(app)
    app.run(hours=48)
    day = ENDED.date()
    app.container.upload_blob(f"exports/attendees/date={day}/a.parquet", ADDRESS.encode(), overwrite=True)
    name = next(
        blob.name
        for blob in app.container.below(folder)
        if folder != "tables/"
        or (f"/date={day}/" in blob.name and ADDRESS in str(rows_of(blob.body)).lower())
    )
    locked(app, monkeypatch, name, is_readable=is_readable)
    summary = erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert name in summary.left


def test_an_erasure_that_was_cut_off_is_finished_by_the_same_command(app: App) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    job = erasure(app, FRIDA, ADDRESS, names=(NAME,))
    job.begin()
    with pytest.raises(KeyboardInterrupt):
        job.run(_interrupt, lambda look: look())
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    is_whole(app)
    (record,) = app.state.below("erasures/")
    assert json.loads(record.body)["complete"] is True


@pytest.mark.parametrize(
    "step",
    [
        "write reports/",
        "write invitees/",
        "delete invitees/",
        "write signals/",
        "write outcomes/",
        "delete exports/",
        "send upkeep",
        "write erasures/",
    ],
)
def test_an_erasure_that_dies_at_any_step_is_finished_by_the_same_command(app: App, step: str) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    app.run(days=3)
    app.container.upload_blob(f"exports/x/date={ENDED.date()}/x.csv", ADDRESS.encode(), overwrite=True)
    app.before(step, crash)
    with pytest.raises(Crash):
        erase(app, FRIDA, ADDRESS, names=(NAME,))
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    is_whole(app)


def test_of_somebody_who_was_invited_and_did_not_come_only_role_and_place_stay(app: App) -> None:
    held(app, OTHER)
    archive(app)
    app.run(days=3)
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert traces(app) == []
    manifest = app.manifest(ENDED.date())
    assert manifest.reasons == ("erasure",)
    paths = [each.path for each in files_of(manifest, Table.INVITEES)]
    rows = read_table(lambda path: app.container.blobs[path].body, paths)
    assert sorted((row["personId"] or "", row["role"], row["attended"]) for row in rows) == [
        ("", "attendee", None),
        ("", "attendee", None),
        (OTHER["id"], "presenter", True),
    ]


def test_a_list_that_no_report_names_any_more_is_deleted(app: App) -> None:
    held(app, OTHER)
    archive(app)
    (blob,) = app.container.below("invitees/")
    left = blob.name.replace(blob.name[-21:], "0123456789abcdef.json")
    app.container.blobs[left] = replace(blob, name=left)
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert left not in app.container.blobs
    assert len(app.container.below("invitees/")) == 1
    assert traces(app) == []


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_versions_and_copies_of_an_outcome_go_in_each_day_in_which_it_has_lain(app: App) -> None:
    made = held(app, OTHER, USUAL, organizer=FRIDA)
    later = made.record | {"version": 1, "endDateTime": "2026-11-25T00:05:00Z"}
    made.record["version"] = 2
    app.calls[:] = [replace(made, earlier=(NOW + 2 * HOUR, later))]
    archive(app)
    app.run(hours=48)
    (named,) = app.container.below("outcomes/")
    left = "outcomes/date=2026-11-20/cr-one.json"
    app.container.blobs[left] = replace(named, name=left, metadata=named.metadata | {"commit": "lost"})
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert len(app.container.below("outcomes/")) == 1
    is_whole(app)


# The records themselves


def test_a_record_of_an_erasure_names_nobody_and_holds_no_hash_that_can_be_guessed(app: App) -> None:
    erasure(app, FRIDA, ADDRESS, names=(NAME,)).begin()
    (record,) = app.state.below("erasures/")
    assert traces(app) == []
    assert len(json.loads(record.body)["hashes"]) == 3


@pytest.mark.parametrize("key", ["", "another-erasure-key-for-tests-987654"])
def test_without_the_key_the_worker_stops_and_the_message_comes_back(app: App, key: str) -> None:
    erase(app, FRIDA)
    held(app, OTHER, USUAL)
    app.services = app.another_instance(replace(SETTINGS, erasure_key=key))
    text = serialize_message(call_record_news("one", NOW))
    worker.handle_signals(text, app.services)
    assert [each.text for each in app.queues[clients.SIGNALS_QUEUE].messages] == [text]
    app.run(hours=0.5)
    assert (app.stored(), app.results()) == (set(), {})
    app.services = app.another_instance()
    app.run(hours=1)
    is_whole(app)


def test_health_names_a_key_with_which_nobody_was_erased(app: App) -> None:
    erase(app, FRIDA)
    erasures = app.another_instance(
        replace(SETTINGS, erasure_key="another-erasure-key-for-tests-987654")
    ).erasures
    assert readings.key_fault(erasures) == (
        "App setting ERASURE_KEY is not the one with which persons were erased."
    )
    assert readings.key_fault(app.services.erasures) is None


def test_without_erasures_there_is_one_listing_a_minute_and_no_hash(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[str] = []
    real = app.state.list_blobs

    def counted(**arguments: Any) -> Any:
        listings.append(arguments["name_starts_with"])
        return real(**arguments)

    monkeypatch.setattr(app.state, "list_blobs", counted)
    monkeypatch.setattr("hmac.digest", _no_hash)
    for number in range(20):
        held(app, OTHER, USUAL, call_id=str(number))
        archive(app, str(number))
    assert len(app.stored()) == 20
    assert listings == ["erasures/"]


def _no_hash(*_: object) -> bytes:
    raise AssertionError("hashed without an erasure")


# Retention


def test_nothing_comes_back_that_is_older_than_retention(app: App) -> None:
    made = held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    app.services = app.another_instance(replace(SETTINGS, retention_days=31))
    app.run(days=32, every=12 * HOUR)
    for container in (app.container, app.state):
        container.blobs.clear()
        container.earlier.clear()
    app.calls[:] = [made]
    app.ask("redrive", "2026-11-24", "2026-11-24", Result.STORED)
    app.ask("backfill", "2026-11-24", "2026-11-24")
    archive(app)  # and Graph announces it again
    app.run(days=2, every=12 * HOUR)
    assert app.container.below("reports/") == []
    assert app.results() == {"one": Result.OUT_OF_SCOPE}
    assert traces(app) == []


def test_a_meeting_id_in_base64_names_its_organizer() -> None:
    meeting_id = base64.b64encode(f"1*{FRIDA}*0**19:meeting_x@thread.v2".encode()).decode()
    assert names(meeting_id, {id_token(FRIDA)})
    assert not names(meeting_id, {id_token(ORGANIZER)})


# What a second look found


def test_without_the_key_messages_return_with_a_delay_and_none_is_used_up(app: App) -> None:
    erase(app, FRIDA)
    held(app, OTHER, USUAL)
    app.services = app.another_instance(replace(SETTINGS, erasure_key=""))
    app.announce("one")
    app.ask("backfill", "2026-11-24", "2026-11-24")
    app.run(days=2, every=30 * DAY)
    assert app.results() == {}
    assert not app.queues[f"{clients.SIGNALS_QUEUE}-poison"].messages
    assert all(app.queues[name].messages for name in (clients.SIGNALS_QUEUE, clients.UPKEEP_QUEUE))
    app.services = app.another_instance()
    app.run(hours=1)
    assert app.results() == {"one": Result.STORED}
    is_whole(app)


def test_a_message_that_waits_for_the_key_is_told_of(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    erase(app, FRIDA)
    lines: list[str] = []
    monkeypatch.setattr("shared.logs.error", lambda event, **fields: lines.append(event))
    app.services = app.another_instance(replace(SETTINGS, erasure_key=""))
    app.announce("one")
    app.run(hours=1, every=DAY)
    assert 4 <= lines.count("message.waiting") <= 8


def test_an_erased_organizer_without_access_is_not_taken_for_the_whole_tenant(app: App) -> None:
    app.calls.append(call("one", ENDED, organizer=FRIDA, opens=NOW + 30 * DAY))
    archive(app)
    app.run(days=3)
    assert app.results() == {"one": Result.ACCESS_DENIED}
    erase(app, FRIDA)
    marked: list[str] = []
    app.before("write access/", lambda: marked.append("for a moment"))
    app.run(days=3)
    assert marked == []


def webinar(app: App, end: datetime, opens: datetime) -> None:
    """Have Graph know a webinar of Frida's, whose report it refuses before `opens`."""
    usual = app.graph.get

    def get(path: str, operation: str) -> dict[str, Any]:
        if "virtualEvents" not in path:
            return usual(path, operation)
        if path.endswith("/sessions/session"):
            link = f"https://teams.microsoft.com/l/w?context={json.dumps({'Tid': 't', 'Oid': FRIDA})}"
            return {
                "subject": f"Ask {ADDRESS}",
                "joinWebUrl": link,
                "participants": {"organizer": {"identity": {"user": {"id": FRIDA}}}},
            }
        if "attendanceReports" in path and app.now < opens:
            raise AccessDenied(operation, "no", status=403)
        if "attendanceReports" not in path:
            raise NotFound(operation, "not there", status=404)
        return {
            "id": "r",
            "meetingStartDateTime": times.text(end - HOUR),
            "meetingEndDateTime": times.text(end),
            "totalParticipantCount": 1,
            "attendanceRecords": [OTHER],
        }

    app.graph.get = get  # type: ignore[method-assign]
    session = EventSession(EventKind.WEBINAR, "event", "session")
    app.receive(clients.SIGNALS_QUEUE, serialize_message(report_news("r", session, app.now)))


def test_an_erased_organizer_of_a_webinar_stays_erased_while_nobody_knows_when_it_ended(app: App) -> None:
    erase(app, FRIDA, ADDRESS)
    app.run(hours=1)
    webinar(app, ENDED, opens=app.now + 5 * DAY)
    for _ in range(4):
        app.run(days=1)
        assert traces(app) == []
        assert not app.state.below("access/"), "taken for a permission that the app lacks"
    assert {each.result for each in app.outcomes()} == {Result.ACCESS_DENIED}
    app.run(days=10)
    app.ask("redrive", "2026-11-20", "2026-12-20", Result.ACCESS_DENIED)
    app.run(days=2)
    assert {each.result for each in app.outcomes()} == {Result.STORED}
    assert report(app)["attendanceRecords"] == [OTHER]
    assert traces(app) == []


def test_versions_of_an_outcome_go_that_a_function_wrote_on_the_day_after_the_erasure(app: App) -> None:
    app.run(hours=2.995)  # to midnight
    app.services.erasures.current()  # and so for a minute
    job = erasure(app, FRIDA, ADDRESS)
    job.begin()

    def wait() -> None:
        app.run(hours=0.01)
        webinar(app, ENDED, opens=app.now + 5 * DAY)
        app.deliver()
        assert FRIDA in everything(app)
        app.run(hours=0.2)

    job.run(wait, lambda look: wait_for(app, look))
    assert traces(app) == []


def test_of_a_webinar_after_the_erasure_nothing_is_lost_once_its_end_is_known(app: App) -> None:
    erase(app, FRIDA, ADDRESS)
    app.run(hours=5)
    end = app.now - HOUR
    webinar(app, end, opens=app.now + HOUR / 2)
    app.deliver()
    assert traces(app) == []
    app.run(hours=5)
    (outcome,) = app.outcomes()
    assert (outcome.result, outcome.meeting.organizer_id) == (Result.STORED, FRIDA)
    (blob,) = app.container.below("reports/")
    assert blob.metadata["organizerid"] == FRIDA
    assert ADDRESS in str(decode_details(blob.metadata["details"]))


def test_a_record_that_has_lost_its_outcome_is_erased(app: App) -> None:
    held(app, OTHER, USUAL, organizer=FRIDA)
    archive(app)
    for blob in app.container.below("outcomes/"):
        del app.container.blobs[blob.name]
    erase(app, FRIDA, ADDRESS, names=(NAME,))
    assert FRIDA not in everything(app)


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ("container", "reports/date=2026-11-24/x.json"),
        ("container", "outcomes/date=2026-11-24/cr-x.json"),
        ("container", "manifests/date=2026-11-20/reports.jsonl"),
        ("container", "daily/date=2026-11-20/part-00000.jsonl.gz"),
        ("state", "signals/cr-y.json"),
        ("state", "of-a-later-version/x.json"),
    ],
)
@pytest.mark.parametrize("text", [FRIDA.upper(), f'"{ADDRESS}" \udcff', f"Mit {NAME}."])
def test_what_this_version_cannot_read_is_reported_where_it_quotes_the_person(
    app: App, container: str, name: str, text: str
) -> None:
    body = text.encode(errors="surrogateescape")
    getattr(app, container).upload_blob(
        name, gzip.compress(body) if name.endswith(".gz") else body, overwrite=True
    )
    assert erase(app, FRIDA, ADDRESS, names=(NAME,)).left == {name}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_export_of_a_day_whose_reports_are_gone_is_deleted(app: App, form: str) -> None:
    file = io.BytesIO(f'"emailAddress"\r\n"{ADDRESS.upper()}"\r\n'.encode())
    if form == "parquet":
        row = json.dumps({"emailAddress": ADDRESS.upper()}).encode()
        write_parquet(io.BytesIO(row), {"emailAddress": STRING}, file)
    app.container.upload_blob(
        f"exports/attendees/date=2026-10-01/part-00000.{form}", file.getvalue(), overwrite=True
    )
    assert erase(app, ADDRESS).exports == 1
    assert app.container.below("exports/") == []
    assert ADDRESS not in everything(app), "storage keeps a version of what is deleted"


def test_times_of_a_record_that_this_version_does_not_know_are_not_kept(app: App) -> None:
    interval = {"joinDateTime": "2026-11-24T20:00:00Z", "durationInSeconds": 60, "device": ADDRESS}
    held(app, OTHER, {**USUAL, "attendanceIntervals": [interval, "x"]}, is_invited=False)
    archive(app)
    assert erase(app, FRIDA).left == set()
    is_whole(app)
    (erased,) = [each for each in report(app)["attendanceRecords"] if each != OTHER]
    del interval["device"]
    assert erased["attendanceIntervals"] == [interval]


def test_findings_and_subscriptions_of_the_person_are_removed(app: App) -> None:
    app.services.state.put("doctor/1.json", {"findings": [{"check": "policy", "says": FRIDA}]})
    url = f"https://teams.microsoft.com/l/meetup-join/1/0?context=%7B%22Oid%22%3A%22{FRIDA}%22%7D"
    resource = f"communications/onlineMeetings(joinWebUrl='{quote(url, safe='')}')/meetingCallEvents"
    app.services.subscriptions.add("s", resource, "f", Door.WEBHOOK)
    done = erase(app, FRIDA)
    assert done.left == set()
    assert FRIDA not in everything(app)
    assert app.services.subscriptions.is_registered("s")


def test_a_key_that_is_not_the_apps_erases_nobody(app: App) -> None:
    """A record of it would stop the app."""
    erase(app, FRIDA)
    held(app, OTHER, USUAL)
    before = everything(app)
    with pytest.raises(ErasureKeyError):
        erasure(app, ADDRESS, key="another-erasure-key-for-tests-987654").begin()
    assert everything(app) == before
