"""Erase a person from the archive.

From reports, outcomes, tables, operational state, and earlier versions.

        write the record of the erasure ─▶ scan ─▶ wait until no function is under way that does not know the record
              ─▶ scan what was written since, until nothing is found ─▶ the app writes indexes and tables anew
              ─▶ search all that is left, whatever wrote it, and say where the person is quoted ─▶ delete versions

From the record on, the app redacts whatever it writes. So a run that was cut off is finished by the same command, and
nothing that comes later brings the person back. What is recorded names nobody.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobProperties, ContainerClient

from ... import times
from ...archive.invitees import FOLDER as INVITEES
from ...archive.invitees import ListFile, invitees_name, read_invitees, report_of
from ...archive.reports import Archive
from ...days.index import index_lines, index_name
from ...days.manifests import Manifest, Manifests, manifest_name
from ...errors import AttendanceError, NotOurMessage, StorageRefused
from ...graph import verbatim_json
from ...graph.invitees import InviteeList
from ...graph.meeting_details import decode_details
from ...health.self_check import FOLDER as DIAGNOSES
from ...ledger import access
from ...ledger.publish import Outcomes, signal_id_of
from ...ledger.record import Record, new_commit
from ...ledger.redaction import redact_record
from ...ledger.store import FOLDER as RECORDS
from ...ledger.store import Ledger
from ...messages import codec, tasks
from ...messages.tasks import RefreshDay, Task
from ...privacy.erasures import ErasureKey, ErasureList
from ...privacy.identifiers import names
from ...privacy.person import Person
from ...privacy.redact import MARK, redact_invitees, redact_metadata, redact_report
from ...storage.blobs import Blob, delete_blob, get_blob, get_properties, put_blob, retry_conflicts
from ...storage.erasures import FOLDER, MAX_AGE, Erasures
from ...storage.names import day_folder, decode_name_part
from ...storage.watchlist import FOLDER as WATCHED
from ...tables.day_tables import DayTables
from ..database import parquet_text
from ..session import Session

THREADS = 16
MOST_SCANS = 8
MOST_SHOWN = 20  # names of blobs in which something is left
FUNCTION_SECONDS = 600  # functionTimeout in host.json
QUIET_SECONDS = round(MAX_AGE) + FUNCTION_SECONDS  # after which every running function knows the record
BY_DAY = ("reports", INVITEES, "outcomes", "manifests")
BY_TABLE = ("tables", "exports")  # and then by day
_REMOVED = (access.DENIED, access.OPENED, WATCHED, DIAGNOSES)  # state that is made again if it is needed


@dataclass
class ErasureSummary:
    """What was found, or erased; no field says of whom.

    `left` are blobs that still quote the person, and those that storage lets nobody change or read.
    """

    reports: int = 0
    outcomes: int = 0
    exports: int = 0
    state: int = 0
    versions: int = 0
    days: set[date] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    @property
    def found(self) -> int:
        """How many blobs name the person."""
        return self.reports + self.outcomes + self.state

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "reports": self.reports,
            "outcomes": self.outcomes,
            "exports": self.exports,
            "state": self.state,
            "versions": self.versions,
            "days": [day.isoformat() for day in sorted(self.days)],
            "left": len(self.left),
            "leftIn": sorted(self.left)[:MOST_SHOWN],
        }


class Erasure:
    """One erasure.

    Raises azure.core errors, and AttendanceError when other writers never stop.
    """

    def __init__(self, session: Session, person: Person, key: ErasureKey, secret: str) -> None:
        self._session, self._container, self._person = session, session.container, person
        self._record = key.record(person.tokens, times.now())
        self._name = f"{FOLDER}{key.digest(*sorted(self._record.hashes))}.json"
        self._secret, self._list = secret, ErasureList(secret, [self._record])
        self._ledger = Ledger(session.state_container, lambda: self._list)
        self._outcomes = Outcomes(session.container, lambda: self._list)
        self._seen: set[str] = set()  # signals
        self._only_count = False
        self._since: datetime | None = None
        self.summary = ErasureSummary()

    def days(self) -> list[date]:
        """The days of the archive, oldest first."""
        found = set()
        prefixes = [f"{folder}/" for folder in BY_DAY]
        for folder in BY_TABLE:
            tables = self._container.walk_blobs(name_starts_with=f"{folder}/", delimiter="/")
            prefixes += [each.name for each in tables]
        for prefix in prefixes:
            for each in self._container.walk_blobs(name_starts_with=prefix, delimiter="/"):
                with contextlib.suppress(ValueError, IndexError):  # a folder of someone else's
                    found.add(date.fromisoformat(each.name.split("date=", 1)[1][:10]))
        return sorted(found)

    def count(self, done: Callable[[int], None] = lambda _: None) -> ErasureSummary:
        """What would be erased now."""
        self._only_count = True
        self._scan(done)
        self._delete_versions()
        summary, self.summary, self._only_count = self.summary, ErasureSummary(), False
        return summary

    def begin(self) -> None:
        """Write the record, from which on the app redacts what it writes.

        Raises ErasureKeyError if persons were erased with another key: the record would stop the app.
        """
        Erasures(self._session.state_container, self._secret).current()
        self._save(complete=False)
        self._since = (
            self._session.state_container.get_blob_client(self._name).get_blob_properties().last_modified
        )

    def run(
        self,
        wait: Callable[[], None],
        wait_for: Callable[[Callable[[], bool | None]], bool | None],
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Erase.

        `wait` returns when no function is under way that began before the record was known.
        """
        self._scan(done)
        wait()
        for _ in range(MOST_SCANS):
            before = self.summary.found
            self._scan(done, since=self._since)
            if self.summary.found == before:
                break
        else:
            raise AttendanceError(
                "What names the person was written again and again: see whether an earlier version of the app runs, "
                "then run the same command again."
            )
        self._scan_tables()
        self._refresh_days(wait_for)
        self._search()
        self._delete_versions()
        self._save(complete=True)

    def _save(self, *, complete: bool) -> None:
        content = codec.encode(self._record) | {"complete": complete, **self.summary.to_json()}
        self._session.state.put(self._name, content)

    def _scan(self, done: Callable[[int], None], since: datetime | None = None) -> None:
        """Redact all that names the person, or with `since` what was written from then on."""
        self._seen.clear()
        for day in self.days():
            self._scan_day(day, since)
            done(1)
        self._scan_records(since)
        self._scan_state()

    def _scan_day(self, day: date, since: datetime | None) -> None:
        before = self.summary.found
        with ThreadPoolExecutor(THREADS) as threads:
            for each, redact in (("reports", self._scan_report), ("outcomes", self._scan_outcome)):
                blobs = self._container.list_blobs(
                    name_starts_with=day_folder(each, day), include=["metadata"]
                )
                chosen = [blob for blob in blobs if since is None or blob.last_modified >= since]
                for is_found in threads.map(redact, chosen):
                    if is_found:
                        self.summary.days.add(day)
        if self.summary.found == before and day not in self.summary.days:
            return
        for name in self._names("exports/", day):
            self.summary.exports += 1
            if not self._only_count:
                self._unless_refused(name, partial(delete_blob, self._container, name))

    def _unless_refused[T](self, name: str, action: Callable[[], T]) -> T | None:
        """Return the result, or None for a blob that nobody may change or read."""
        try:
            return action()
        except (StorageRefused, ResourceExistsError):  # the second: a read of the archive tier
            self.summary.left.add(name)
            return None

    def _names(self, prefix: str, day: date) -> list[str]:
        """The names of the day's blobs below a folder of tables."""
        names = self._container.list_blob_names(name_starts_with=prefix)
        return [name for name in names if f"/date={day}/" in name]

    def _scan_report(self, blob: BlobProperties) -> bool:
        """Redact a report. Return whether it is redacted now or was before."""
        name = str(blob.name)
        return bool(self._unless_refused(name, lambda: retry_conflicts(lambda: self._redact(name), name)))

    def _redact(self, name: str) -> bool | None:
        """One try; None when another writer was faster."""
        blob = get_blob(self._container, name)
        report = _parse(blob.body) if blob else None
        end = times.parse(blob.metadata.get("end")) if blob else None
        if blob is None or report is None:
            return False
        ended = end or times.midnight(Outcomes.day_of(name))
        people = self._list.people(ended)
        if people is None:
            return False
        redacted, metadata = redact_report(report, people), redact_metadata(blob.metadata, people)
        body = redacted.body if redacted else blob.body
        if redacted:
            metadata |= MARK | {"sha256": redacted.sha256}
        invitees = read_invitees(self._container, name, blob.metadata)
        left = redact_invitees(invitees, people) if invitees else None
        listed = ListFile.of(left) if left and left is not invitees else ListFile({})
        if listed.body:
            metadata |= MARK | dict(listed.metadata)
        if self._only_count and self._is_quoted(name, replace(blob, body=body, metadata=metadata)):
            self.summary.left.add(name)
        if metadata == blob.metadata:
            return MARK.items() <= metadata.items()
        if not self._only_count:
            listed.write(self._container, name, metadata, ended)
            if not put_blob(self._container, name, body, etag=blob.etag, metadata=metadata):
                return None
            if listed.body:
                former = invitees_name(name, blob.metadata)
                self._unless_refused(former, lambda: delete_blob(self._container, former))
        self.summary.reports += 1
        return True

    def _scan_outcome(self, blob: BlobProperties) -> bool:
        """Redact a signal's record and its outcome.

        Return whether anything named the person.
        """
        return bool(self._unless_refused(blob.name, lambda: self._redact_outcome(blob.name)))

    def _redact_outcome(self, name: str) -> bool:
        day = Outcomes.day_of(name)
        self._seen.add(signal_id_of(name))
        stored, copy = self._ledger.read(signal_id_of(name)), self._outcomes.read(name)
        old_record = stored.record if stored else copy
        if old_record is None or copy is None:
            return False
        is_named = redact_record(old_record, self._list) != old_record
        if not is_named and redact_record(copy, self._list) == copy:
            return False
        self.summary.outcomes += 1
        if self._only_count:
            return True

        def change(old: Record | None) -> Record | None:
            return (old or old_record).with_copy_in(day)

        record, _ = self._ledger.update(old_record.signal_id, change, new_commit("erased"), stored)
        if record:
            self._outcomes.publish(record, self._ledger)
        return True

    def _scan_records(self, since: datetime | None) -> None:
        """Redact the records of signals without an outcome.

        Somebody deleted it, or it is not published yet.
        """
        blobs = self._session.state_container.list_blobs(name_starts_with=RECORDS, include=["metadata"])
        written = {signal_id_of(blob.name) for blob in blobs if since is None or blob.last_modified >= since}
        ids = written - self._seen
        with ThreadPoolExecutor(THREADS) as threads:
            self.summary.outcomes += sum(threads.map(self._scan_record, ids))

    def _scan_record(self, signal_id: str) -> bool:
        stored = self._ledger.read(signal_id)
        if stored is None or redact_record(stored.record, self._list) == stored.record:
            return False
        if not self._only_count:
            self._ledger.update(signal_id, lambda old: old, new_commit("erased"), stored)
        return True

    def _scan_state(self) -> None:
        """Remove operational state of the person.

        Organizers without access, watched meetings, doctor's findings.
        """
        container = self._session.state_container
        for name in [each for each in container.list_blob_names() if each.startswith(_REMOVED)]:
            if self._is_quoted_in(container, name):
                self.summary.state += 1
                if not self._only_count:
                    self._session.state.remove(name)

    def _scan_tables(self) -> None:
        """Note the days with files of tables about the person and no report.

        As of one that has moved.
        """
        left: dict[str, date] = {}
        for name in self._container.list_blob_names(name_starts_with="tables/"):
            with contextlib.suppress(ValueError, IndexError):  # a log, or a folder of someone else's
                left[name] = Outcomes.day_of(name)
        left = {name: day for name, day in left.items() if day not in self.summary.days}
        with ThreadPoolExecutor(THREADS) as threads:
            quoting = threads.map(partial(self._is_quoted_in, self._container), left)
            self.summary.days.update(itertools.compress(left.values(), quoting))

    def _search(self) -> None:
        """Note which blobs quote the person, also those that this version cannot read.

        Delete such exports, and lists of invitees that no report names.
        """
        for container in (self._container, self._session.state_container):
            found = [name for name in container.list_blob_names() if not name.startswith(FOLDER)]
            with ThreadPoolExecutor(THREADS) as threads:
                quoting = threads.map(partial(self._is_quoted_in, container), found)
                for name in [name for name, is_quoted in zip(found, quoting, strict=True) if is_quoted]:
                    if container is self._container and self._is_deletable(name):
                        self.summary.exports += 1
                        self._unless_refused(name, partial(delete_blob, container, name))
                        with contextlib.suppress(ValueError, IndexError):  # a name without a day
                            self.summary.days.add(Outcomes.day_of(name))
                    else:
                        self.summary.left.add(name)

    def _is_deletable(self, name: str) -> bool:
        """Whether a blob is an export, or a list of invitees that no report names."""
        if not name.startswith(f"{INVITEES}/"):
            return name.startswith("exports/")
        report = get_properties(self._container, report_of(name))
        return report is None or invitees_name(report_of(name), report.metadata or {}) != name

    def _is_quoted_in(self, container: ContainerClient, name: str) -> bool:
        blob = self._unless_refused(name, lambda: get_blob(container, name))
        return blob is not None and self._is_quoted(name, blob)

    def _is_quoted(self, name: str, blob: Blob) -> bool:
        """Whether a blob quotes the person.

        False if it is about a meeting that ended after the erasure.
        """
        end = times.plausible(blob.metadata.get("end"))
        if end and end > self._record.until:
            return False
        details = str(decode_details(blob.metadata.get("details")))
        text = " ".join(
            [name, *map(decode_name_part, blob.metadata.values()), details, _text(name, blob.body)]
        )
        return names(text, self._person.tokens) or self._person.is_quoted_in(text)

    def _refresh_days(self, wait_for: Callable[[Callable[[], bool | None]], bool | None]) -> None:
        """Have the app write manifests and tables anew, and wait.

        Raises AttendanceError when it does not come.
        """
        for day in sorted(self.summary.days):
            self._session.upkeep.send(tasks.serialize_task(Task(RefreshDay(day))))
        for day in sorted(self.summary.days):
            if not wait_for(partial(self._is_refreshed, day)):
                raise AttendanceError(
                    f"The app has not rewritten the manifest and the tables of {day} in time. They still name the "
                    "person: see `attendance doctor`, then run the same command again."
                )
            retention_days = self._session.settings.retention_days
            tables = DayTables(self._container, Manifests(self._container), retention_days=retention_days)
            tables.clean(day, at_once=True)

    def _is_refreshed(self, day: date) -> bool | None:
        """True if index, manifest and tables match the reports, else None."""
        index, stored = (
            get_blob(self._container, index_name(day)),
            get_blob(self._container, manifest_name(day)),
        )
        if index is None or stored is None or index.metadata["sha256"] != stored.metadata["reportssha256"]:
            return None
        current = b"".join(index_lines(Archive(self._container).list_reports(day)))
        manifest = codec.loads(Manifest, stored.body)
        return (index.body == current and manifest.tables.index == manifest.index) or None

    def _delete_versions(self) -> None:
        """Delete earlier versions that name the person.

        Also those of what was made of them.
        """
        for folder in (*BY_DAY, *BY_TABLE):
            is_made = folder not in ("reports", INVITEES, "outcomes")
            for blob in list(earlier_versions(self._container, f"{folder}/")):
                if (
                    any(f"/date={day}/" in blob.name for day in self.summary.days)
                    if is_made
                    else self._is_named_in(blob)
                ):
                    self.summary.versions += 1
                    with contextlib.suppress(ValueError):
                        self.summary.days.add(Outcomes.day_of(blob.name))
                    if not self._only_count:
                        client = self._container.get_blob_client(blob.name, version_id=blob.version_id)
                        self._unless_refused(blob.name, client.delete_blob)

    def _is_named_in(self, version: BlobProperties) -> bool:
        """Whether an earlier version names the person.

        It is one of a report, a list of invitees or an outcome.
        """
        client = self._container.get_blob_client(version.name, version_id=version.version_id)
        download = self._unless_refused(version.name, client.download_blob)
        if download is None:
            return False
        body, metadata = download.readall(), download.properties.metadata or {}
        people = self._list.people(times.possible(metadata.get("end")))
        if people is None:
            return False
        report, invitees = _parse(body), _parse_invitees(body)
        is_redacted = report is not None and redact_report(report, people) is not None
        return (
            is_redacted
            or (invitees is not None and redact_invitees(invitees, people) is not invitees)
            or redact_metadata(metadata, people) != metadata
            or names(body.decode(errors="replace"), people)
        )


def earlier_versions(container: ContainerClient, prefix: str) -> Iterator[BlobProperties]:
    """The versions below `prefix` that are not current."""
    for blob in container.list_blobs(name_starts_with=prefix, include=["metadata", "versions"]):
        if blob.version_id and not blob.is_current_version:
            yield blob


def _text(name: str, body: bytes) -> str:
    """Return the text of a blob, as far as it can be read.

    Also of a packed one or of a Parquet file.
    """
    with contextlib.suppress(Exception):  # whatever damaged files make their readers raise
        if name.endswith(".gz"):
            body = gzip.decompress(body)
        elif name.endswith(".parquet"):
            return parquet_text(body)
    return body.decode(errors="replace")


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        report = verbatim_json.loads(body)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def _parse_invitees(body: bytes) -> InviteeList | None:
    try:
        return codec.loads(InviteeList, body)
    except NotOurMessage:
        return None
