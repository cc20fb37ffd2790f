"""Taking a person out of the archive: reports, outcomes, tables, operational state, and the versions before.

        reports and outcomes ─▶ exports, state ─▶ the app writes manifest and daily table anew ─▶ versions

Each blob is redacted by one conditional write, and what was redacted says so in its metadata. So a run that was cut off
is finished by the same command: it finds what was redacted before, and goes on with what follows from it. What is put
down about it names nobody.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from functools import partial

from azure.storage.blob import BlobProperties, ContainerClient

from ... import times
from ...days.manifests import index_name, manifest_name
from ...errors import AttendanceError
from ...graph import verbatim_json
from ...ledger import access
from ...ledger.publish import Outcomes, signal_id_of
from ...ledger.record import Record, Result, new_commit
from ...ledger.store import Ledger
from ...messages import tasks
from ...messages.signals import Meeting
from ...messages.tasks import RefreshDay, Task
from ...privacy.redact import ERASED, Person, find_roles, redact_report
from ...storage.blobs import get_blob, put_blob, retry_conflicts
from ...storage.names import day_folder
from ...storage.watchlist import Watchlist
from ..session import Session

THREADS = 16
EARLIER_DAYS = timedelta(days=2)  # before its day, a blob may have lain in another partition
FOLDER = "erasures/"


@dataclass
class ErasureSummary:
    """What was done; no field says to whom."""

    reports: int = 0
    outcomes: int = 0
    exports: int = 0
    state: int = 0
    versions: int = 0
    pending: int = 0  # outcomes that could not be redacted yet
    days: set[date] = field(default_factory=set)

    def to_json(self) -> dict[str, int | list[str]]:
        """As JSON has it."""
        return {**asdict(self), "days": [day.isoformat() for day in sorted(self.days)]}


class Erasure:
    """One erasure. Raises azure.core errors, and AttendanceError when other writers never rest."""

    def __init__(self, session: Session, person: Person) -> None:
        self._session, self._container, self._person = session, session.container, person
        self._ledger, self._outcomes = Ledger(session.state_container), Outcomes(session.container)
        self._now = times.text(times.now())
        self._redacted: list[str] = []
        self.summary = ErasureSummary()

    def erase_day(self, day: date) -> None:
        """Redact what lies in the partitions of a day."""
        before = len(self._redacted)
        with ThreadPoolExecutor(THREADS) as threads:
            for each in ("reports", "outcomes"):
                redact = self._erase_report if each == "reports" else self._erase_outcome
                blobs = self._container.list_blobs(
                    name_starts_with=day_folder(each, day), include=["metadata"]
                )
                names = threads.map(redact, list(blobs))
                self._redacted += [name for name in names if name]
        if len(self._redacted) == before:
            return
        self.summary.days.add(day)
        for blob in list(self._container.list_blobs(name_starts_with="tables/")):
            if f"/date={day}/" in blob.name:
                self._container.delete_blob(blob.name)
                self.summary.exports += 1

    def remove_state(self) -> None:
        """Take the person out of operational state: organizers without access, and watched meetings."""
        state = self._session.state
        for name in self._person.identifiers:
            for prefix in (access.DENIED, access.OPENED):
                self.summary.state += state.remove(f"{prefix}{access.blob_key(name)}.json")
        watch = Watchlist(state)
        for each in watch.list_meetings():
            if self._person.is_named(each.organizer_id) or self._person.is_in(each.join_url):
                self.summary.state += watch.remove(each.join_url)

    def refresh_days(self, wait_for: Callable[[Callable[[], bool | None]], bool | None]) -> None:
        """Have the app write manifests and tables anew, and wait. Raises AttendanceError when it does not come."""
        with_table = {day for day in self.summary.days if self._has_table(day)}
        for day in sorted(self.summary.days):
            self._session.upkeep.send(tasks.serialize_task(Task(RefreshDay(day))))
        for day in sorted(self.summary.days):
            if not wait_for(partial(self._is_refreshed, day, table=day in with_table)):
                raise AttendanceError(
                    f"The app has not written the manifest and the table of {day} anew in time. They still name the "
                    "person: see `attendance doctor`, then give the same command again."
                )

    def delete_versions(self) -> None:
        """Delete the versions before of all that was redacted or written anew."""
        names = {(name, name) for name in self._redacted}
        for name in self._redacted:
            kind, partition, blob = name.split("/", 2)
            day = date.fromisoformat(partition.removeprefix("date="))
            earlier = (day - timedelta(days=number + 1) for number in range(EARLIER_DAYS.days))
            names |= {(f"{day_folder(kind, each)}{blob}",) * 2 for each in earlier}
        for day in self.summary.days:
            names |= {(day_folder(each, day), "") for each in ("manifests", "daily")}
        names |= {("tables/", "")} if self.summary.exports else set()
        for prefix, name in sorted(names):
            self.summary.versions += delete_versions(self._container, prefix, name)

    def record(self, window: Iterable[date], *, complete: bool) -> None:
        """Record what was done."""
        days = list(window)
        content = {
            "at": self._now,
            "from": days[0].isoformat(),
            "to": days[-1].isoformat(),
            "complete": complete,
            **self.summary.to_json(),
        }
        self._session.state.put(f"{FOLDER}{self._now.replace(':', '')}-{secrets.token_hex(4)}.json", content)

    def _erase_report(self, blob: BlobProperties) -> str | None:
        """Redact a report; its name where it is redacted now or was before."""
        is_redacted = retry_conflicts(lambda: self._redact(blob.name), blob.name)
        return str(blob.name) if is_redacted else None

    def _redact(self, name: str) -> bool | None:
        """One try; None when another writer was faster."""
        blob = get_blob(self._container, name)
        if blob is None:
            return False
        try:
            report = verbatim_json.loads(blob.body)
        except ValueError:
            return False
        if not isinstance(report, dict) or not find_roles(report, blob.metadata, self._person):
            return ERASED in blob.metadata
        new = redact_report(report, blob.metadata, self._person, self._now)
        if not put_blob(self._container, name, new.body, etag=blob.etag, metadata=new.metadata):
            return None
        self.summary.reports += 1
        return True

    def _erase_outcome(self, blob: BlobProperties) -> str | None:
        """Redact a signal's record, and with it its outcome; the name where it is redacted now or was before."""
        stored = self._ledger.read(signal_id_of(blob.name))
        old_record = stored.record if stored else self._outcomes.read(blob.name)
        if old_record is None:
            return None

        def change(old: Record | None) -> Record | None:
            return remove_organizer(old or old_record, self._person)

        record, committed = self._ledger.update(old_record.signal_id, change, new_commit("erased"), stored)
        current = record or old_record
        if not committed and not current.is_erased:
            self.summary.pending += current.result is Result.PENDING and has_person(current, self._person)
            return None
        self._outcomes.publish(current, self._ledger)
        self.summary.outcomes += committed
        return str(blob.name)

    def _has_table(self, day: date) -> bool:
        manifest = get_blob(self._container, manifest_name(day))
        return bool(manifest and json.loads(manifest.body).get("daily"))

    def _is_refreshed(self, day: date, *, table: bool) -> bool | None:
        """True when index, manifest and, where there was one, table tell of the reports as they are now; else None."""
        index, manifest = (
            get_blob(self._container, index_name(day)),
            get_blob(self._container, manifest_name(day)),
        )
        if (
            index is None
            or manifest is None
            or index.metadata["sha256"] != manifest.metadata["reportssha256"]
        ):
            return None
        indexed = {line["path"]: line["sha256"] for line in map(json.loads, index.body.splitlines())}
        blobs = self._container.list_blobs(name_starts_with=day_folder("reports", day), include=["metadata"])
        current = {blob.name: blob.metadata["sha256"] for blob in blobs if "sha256" in (blob.metadata or {})}
        return (indexed == current and (not table or bool(json.loads(manifest.body).get("daily")))) or None


def delete_versions(container: ContainerClient, prefix: str, name: str) -> int:
    """Delete all versions but the current one of the blob `name`, or with "" of all below `prefix`."""
    count = 0
    for blob in list(container.list_blobs(name_starts_with=prefix, include=["versions"])):
        if blob.version_id and not blob.is_current_version and (not name or blob.name == name):
            container.get_blob_client(blob.name, version_id=blob.version_id).delete_blob()
            count += 1
    return count


def has_person(record: Record, person: Person) -> bool:
    """Whether the record names the person as organizer, or holds a message that does."""
    meeting, buried = record.meeting, record.buried
    return (
        person.is_named(meeting.organizer_id)
        or person.is_in(meeting.join_url or "")
        or (buried is not None and person.is_in(buried.text))
    )


def remove_organizer(record: Record, person: Person) -> Record | None:
    """The record without its organizer, if that is the person; no attempt follows it.

    None where there is nothing to take out, and for one that is pending, because its attempts would bring it back.
    """
    if record.result is Result.PENDING or not has_person(record, person):
        return None
    meeting = record.meeting
    return replace(
        record,
        meeting=Meeting(meeting.start, meeting.end, event=meeting.event),
        next=None,
        last_error=None,
        buried=None,
        is_erased=True,
    )
