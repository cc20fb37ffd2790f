"""An archive on doubles, whose manifests and tables the product's code writes, and its copy in a folder."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from azure.storage.blob import ContainerClient

from shared import times
from shared.days.manifests import Manifest, Manifests, manifest_name
from shared.graph import report_json
from shared.graph.meeting_details import encode_details
from shared.messages.signals import MeetingDetails
from shared.privacy.erasures import ErasedPeople, ErasureKey
from shared.privacy.identifiers import id_token
from shared.privacy.redact import MARK, redact_report
from shared.tables.day_tables import DayTables
from tests.support.doubles import Container, Steps

TENANT = "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10"
KEY = ErasureKey("a key for tests alone")

type Stay = tuple[int, int]  # minutes after nine


def person_id(name: str) -> str:
    """The object id of a person with a short name."""
    return f"{name.encode().hex():0>8.8}-0000-4000-8000-000000000000"


def series_id(name: str) -> str:
    """The id of a series with a short name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Meeting:
    """A session: who stayed when, its series, and from when to when it was held and planned, in minutes after nine."""

    report_id: str
    stays: Mapping[str, Sequence[Stay]] = field(default_factory=dict)
    series: str = "weekly"
    held: Stay = (0, 60)
    planned: Stay | None = (0, 60)
    engagements: int = 0

    def report(self, day: date) -> dict[str, Any]:
        """The report, as Graph has it."""
        return {
            "id": self.report_id,
            "totalParticipantCount": len(self.stays),
            "meetingStartDateTime": _text(day, self.held[0]),
            "meetingEndDateTime": _text(day, self.held[1]),
            "attendanceRecords": [self._record(day, *each) for each in self.stays.items()],
        }

    def _record(self, day: date, name: str, stays: Sequence[Stay]) -> dict[str, Any]:
        return {
            "id": person_id(name),
            "emailAddress": f"{name}@contoso.example",
            "totalAttendanceInSeconds": sum(60 * (end - start) for start, end in stays),
            "role": "Attendee",
            "identity": {"id": person_id(name), "displayName": name.title(), "tenantId": TENANT},
            "attendanceIntervals": [
                {"joinDateTime": _text(day, start), "leaveDateTime": _text(day, end), "durationInSeconds": 60}
                for start, end in stays
            ],
            "engagements": [
                {"engagementType": "reaction", "dateTime": _text(day, stays[0][0])}
                for _ in range(self.engagements)
            ],
        }


class ArchiveDays:
    """Days of an archive. The clock of the product's code must be `now`."""

    def __init__(self, start: datetime) -> None:
        self.steps = Steps(start)
        self.blobs = Container(self.steps)
        self.container = cast(ContainerClient, self.blobs)
        self.manifests = Manifests(self.container)
        self._tables = DayTables(self.container, self.manifests, TENANT)

    def now(self) -> datetime:
        return self.steps.now

    def store(self, day: date, *meetings: Meeting) -> None:
        """Store their reports, or replace them."""
        for meeting in meetings:
            start, end = (_moment(day, each) for each in meeting.planned) if meeting.planned else (None, None)
            details = MeetingDetails(meeting.series.title(), start, end, "t")
            metadata = {
                "source": "onlineMeeting",
                "seriesid": series_id(meeting.series),
                "meetingid": meeting.series,
                "start": times.text(_moment(day, meeting.held[0])),
                "end": times.text(_moment(day, meeting.held[1])),
                "participants": str(len(meeting.stays)),
                "details": encode_details(details),
            }
            self._put(day, meeting.report(day), metadata)

    def erase(self, day: date, name: str) -> None:
        """Take a person out of the day's reports, as an erasure does."""
        people = ErasedPeople(KEY, frozenset({KEY.digest(id_token(person_id(name)))}))
        for blob in self.blobs.below(f"reports/date={day}/"):
            if redacted := redact_report(json.loads(blob.body), people):
                self._put(day, json.loads(redacted.body), {**blob.metadata, **MARK})

    def set_pending(self, day: date, *, is_pending: bool) -> None:
        """Have an outcome of the day be pending, or settled."""
        metadata = {"outcome": "pending" if is_pending else "noReport"}
        name = f"outcomes/date={day}/cr-late.json"
        self.blobs.upload_blob(name, b"{}", overwrite=True, metadata=metadata)

    def refresh(self, day: date, *, final: bool = True) -> Manifest:
        """Bring the day's manifest up to date, and write no tables. `final` is as for Manifests.refresh."""
        return self.manifests.refresh(day, final=final)

    def seal(self, day: date, *, final: bool = True) -> Manifest:
        """Bring the day's manifest and tables up to date, of a day that is over or still open."""
        manifest = self.refresh(day, final=final)
        if manifest.tables.index != manifest.index:
            parts = self._tables.plan_parts(manifest)
            named = [self._tables.write_part(part) for part in parts] or [self._tables.name(manifest)]
            assert named[-1]
            manifest = named[-1]
        self._tables.commit(manifest)
        followed = self.manifests.read(day)
        assert followed
        return followed

    def clean(self, day: date, *, at_once: bool = False) -> None:
        """Delete the files that the day's manifest no longer names, if it is time."""
        self._tables.clean(day, at_once=at_once)

    def expire(self, day: date, is_kept: Callable[[str], bool] = lambda name: False) -> None:
        """Delete what lies in the day's folders, as retention does."""
        for name in [each for each in self.blobs.blobs if f"/date={day}/" in each and not is_kept(each)]:
            del self.blobs.blobs[name]

    def spoil(self, day: date) -> None:
        """Have the day's manifest be no JSON."""
        blob = self.blobs.blobs[manifest_name(day)]
        self.blobs.upload_blob(blob.name, b"\0", overwrite=True, metadata=blob.metadata)

    def copy(self, folder: Path) -> Path:
        """Make the folder a copy of the archive, which has no other files."""
        wanted = {folder / name: blob.body for name, blob in self.blobs.blobs.items()}
        for file in [each for each in folder.rglob("*") if each.is_file() and each not in wanted]:
            file.unlink()
        for file, body in wanted.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        return folder

    def _put(self, day: date, report: dict[str, Any], metadata: dict[str, str]) -> None:
        body = io.BytesIO()
        records = report.pop("attendanceRecords")
        written = report_json.write_report(report, iter([records]), body, io.BytesIO())
        told = {**metadata, "sha256": written.sha256, "records": str(written.records)}
        name = f"reports/date={day}/{report['id']}.json"
        self.blobs.upload_blob(name, body.getvalue(), overwrite=True, metadata=told)


def _moment(day: date, minutes: int) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC) + timedelta(minutes=minutes)


def _text(day: date, minutes: int) -> str:
    return times.text(_moment(day, minutes))
