"""State of a signal: its record in the ledger, and the outcome published from it.

        state container    signals/<signalId>.json                   the record: the truth
        data container     outcomes/date=YYYY-MM-DD/<signalId>.json  its copy for consumers, by the day of the call

The key of a record depends on the signal's id alone, so there is one record whatever is learned later. Schema of the
copy: docs/consumers.md.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

from .. import times
from ..errors import NotOurMessage
from ..graph.join_urls import join_url_key
from ..messages import codec
from ..messages.codec import Day, Moment
from ..messages.envelope import OpaqueId, TraceParent
from ..messages.signals import Door, EventKind, EventSession, Meeting, News, Origin, SignalKind, kind_of
from ..storage.names import MAX_HEADER, encode_header

MOST_COMMITS = 40  # all of an ordinary signal: the attempts of the retry window, and five later checks
UNCONFIRMED = "unconfirmed"  # metadata of an outcome
UNKNOWN = Meeting()


class Result(StrEnum):
    """The values of `outcome`."""

    STORED = "stored"
    NO_REPORT = "noReport"
    ACCESS_DENIED = "accessDenied"
    NOT_A_MEETING = "notAMeeting"
    NOT_FOUND = "notFound"
    NOT_SUPPORTED = "notSupported"
    EXTERNAL_ORGANIZER = "externalOrganizer"
    OUT_OF_SCOPE = "outOfScope"
    FAILED = "failed"
    PENDING = "pending"


# What the call record decides, and a later version of it may decide otherwise.
BY_CALL_RECORD = frozenset({Result.NOT_A_MEETING, Result.EXTERNAL_ORGANIZER, Result.OUT_OF_SCOPE})


# The news of such a signal proves nothing by itself: ids can be invented. A call event's is signed by Microsoft.
_BY_ID = frozenset({SignalKind.CALL_RECORD, SignalKind.REPORT_READY})
_UNANSWERED = frozenset({Result.PENDING, Result.NOT_FOUND})


class Cause(StrEnum):
    """Why a series of attempts began; a backfill stores every report it finds."""

    NEWS = "news"
    SWEEP = "sweep"
    BACKFILL = "backfill"
    REDRIVE = "redrive"
    PROBE = "probe"
    LOOK = "look"


class Purpose(StrEnum):
    """The purpose of an attempt: find reports, reread fresh ones, or check later."""

    TRY = "try"
    CONFIRM = "confirm"
    LOOK = "look"


@dataclass(frozen=True)
class AttemptSeries:
    """Attempts that share one retry window. `is_denied`: one has waited after a 403.

    `days` are the first and the last one that a backfill asked for.
    """

    began: Moment
    cause: Cause = Cause.NEWS
    attempts: int = 0
    is_denied: bool = False
    days: tuple[Day, ...] = ()


@dataclass(frozen=True)
class NextAttempt:
    """The number, time and purpose of the next attempt.

    A queue message triggers it; the sweep triggers `LOOK`.
    """

    attempt: int
    at: Moment
    purpose: Purpose = Purpose.TRY


@dataclass(frozen=True)
class Commit:
    """One change of a record.

    `id` is random: a writer that finds its own id in the record has written it, whatever storage replied.
    """

    id: str
    at: datetime
    step: str
    result: Result | None = None
    status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class StoredReport:
    """A stored report: id, end, blob, and whether records may be missing."""

    id: str
    end: Moment
    path: str
    is_partial: bool = False


@dataclass(frozen=True)
class Candidate:
    """A smaller reading, which replaces the stored report if an equal one follows.

    `at` is when it was first made. `others` counts the differing readings since.
    """

    report_id: str
    sha256: str
    at: datetime
    others: int = 0


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be processed; its text stays in the state container."""

    queue: str
    kind: str | None
    version: int | None
    sha256: str
    text: str = ""


@dataclass(frozen=True)
class Record:
    """The state of one signal.

    `attempt` numbers the attempts and is the only fence: a nudge below it is out of date. `revision` counts the changes
    and orders published copies; `days` are the partitions that ever held one, the current one last. `announced` is when
    the first news came, `stored` when the first report was stored. `candidates` holds one a report at most.
    """

    signal_id: str
    result: Annotated[Result, "outcome"]
    first_seen: Moment
    attempt: int
    series: AttemptSeries
    next: NextAttempt | None = None
    settled: Moment | None = None
    stored: Moment | None = None
    meeting: Annotated[Meeting, codec.FLAT] = UNKNOWN
    reports: tuple[StoredReport, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    last_error: str | None = None
    buried: DeadLetter | None = None
    announced: Moment | None = None
    door: Door | None = None
    subscription_id: OpaqueId | None = None
    traceparent: TraceParent = None
    revision: int = 0
    days: tuple[Day, ...] = ()
    commits: Annotated[tuple[Commit, ...], "attempts"] = ()

    @property
    def day(self) -> date:
        """The partition of its copy: the UTC day of the call's end, or of first sight."""
        return (self.meeting.end or self.first_seen).astimezone(UTC).date()

    @property
    def is_known_to_graph(self) -> bool:
        """Whether Graph has returned or listed the subject of the signal."""
        return self.meeting.origin is not Origin.NEWS or kind_of(self.signal_id) not in _BY_ID

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the signal may be invented, as far as Graph has answered."""
        return self.result in _UNANSWERED and not self.is_known_to_graph

    def with_commit(self, commit: Commit, after: Record | None) -> Record:
        """Return the record as the successor of `after`, with this commit."""
        revision, days, commits = (after.revision, after.days, after.commits) if after else (0, (), ())
        return replace(
            self,
            revision=max(revision, self.revision) + 1,
            days=(*(day for day in dict.fromkeys((*days, *self.days)) if day != self.day), self.day),
            commits=(*dict.fromkeys((*commits, *self.commits)), commit)[-MOST_COMMITS:],
        )

    def with_copy_in(self, day: date) -> Record:
        """Return the record with `day` among the days that hold a copy."""
        return self if day in self.days else replace(self, days=(day, *self.days))


def new_commit(step: str, **details: Any) -> Commit:
    """Create the commit of a change that is about to be made."""
    return Commit(secrets.token_hex(8), times.now(), step, **details)


def record_from_news(news: News) -> Record:
    """Create the record of a signal from its notification."""
    return Record(
        news.signal_id,
        Result.PENDING,
        news.first_seen,
        attempt=0,
        series=AttemptSeries(news.first_seen),
        meeting=news.meeting,
        announced=news.first_seen,
        door=news.door,
        subscription_id=news.subscription_id,
        traceparent=news.traceparent,
    )


def dump_outcome(record: Record) -> bytes:
    """Return the published copy as one line of JSON."""
    meeting, buried = record.meeting, record.buried
    content = {
        "signalId": record.signal_id,
        "outcome": record.result,
        "reports": [
            {"id": each.id, "end": times.text(each.end), "path": each.path, "partial": each.is_partial}
            for each in record.reports
        ],
        "organizerId": meeting.organizer_id,
        "meetingId": meeting.meeting_id,
        "source": meeting.event.source if meeting.event else None,
        "eventId": meeting.event.event_id if meeting.event else None,
        "sessionId": meeting.event.session_id if meeting.event else None,
        "joinWebUrl": meeting.join_url,
        "start": times.optional_text(meeting.start),
        "end": times.optional_text(meeting.end),
        "firstSeen": times.text(record.first_seen),
        "settled": times.optional_text(record.settled),
        "attempt": record.attempt,
        "nextAttempt": times.optional_text(record.next.at if record.next else None),
        "lastError": record.last_error,
        "buried": {key: value for key, value in asdict(buried).items() if key != "text"} if buried else None,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def outcome_metadata(record: Record) -> dict[str, str]:
    """Return the metadata of the copy, which lets one listing summarize a day."""
    denied = record.result is Result.ACCESS_DENIED and record.meeting.organizer_id
    metadata = {
        "outcome": str(record.result),
        "nextattempt": times.optional_text(record.next.at if record.next else None),
        "organizerid": denied or None,
        "revision": str(record.revision),
        "version": str(record.meeting.version) if record.meeting.version else None,
        "joinurlkey": _join_url_key(record.meeting),
        "end": times.optional_text(record.meeting.end),
        "firstseen": times.text(record.first_seen),
        "stored": times.optional_text(record.stored),
        UNCONFIRMED: "true" if record.is_unconfirmed else None,
        "commit": record.commits[-1].id if record.commits else None,
    }
    return {key: value for key, value in metadata.items() if value is not None}


def _join_url_key(meeting: Meeting) -> str | None:
    """Return the key of the meeting's link as metadata, or None."""
    value = encode_header(join_url_key(meeting.join_url)) if meeting.join_url else ""
    return value if 0 < len(value) <= MAX_HEADER else None


def load_outcome(body: bytes, metadata: Mapping[str, str]) -> Record:
    """Rebuild a record from its published copy and the copy's metadata.

    Raises ValueError, KeyError or TypeError for a blob that this product did not write.
    """
    content: dict[str, Any] = json.loads(body)
    first_seen = times.parse(metadata.get("firstseen") or content["firstSeen"])
    if first_seen is None:
        raise ValueError("an outcome has no firstSeen")
    next_attempt = times.parse(content["nextAttempt"])
    event = None
    if content.get("source") is not None:
        event = EventSession(EventKind(content["source"]), content["eventId"], content["sessionId"])
    record = Record(
        signal_id=content["signalId"],
        result=Result(content["outcome"]),
        first_seen=first_seen,
        attempt=content["attempt"],
        series=AttemptSeries(first_seen),
        next=NextAttempt(content["attempt"], next_attempt, Purpose.LOOK) if next_attempt else None,
        settled=times.parse(content["settled"]),
        stored=times.parse(metadata.get("stored")),
        meeting=Meeting(
            times.parse(content["start"]),
            times.parse(content["end"]),
            content["joinWebUrl"],
            content["organizerId"],
            content["meetingId"],
            event,
            int(metadata.get("version", "0")),
            Origin.NEWS if UNCONFIRMED in metadata else Origin.LIST,
        ),
        reports=tuple(map(_load_report, content["reports"])),
        last_error=content["lastError"],
        buried=DeadLetter(**content["buried"]) if content.get("buried") else None,
        revision=int(metadata.get("revision", "0")),
        commits=commits_of_copy(metadata, first_seen),
    )
    try:
        return codec.loads(Record, codec.dumps(replace(record, days=(record.day,))))  # which checks the types
    except NotOurMessage as failure:
        raise ValueError(str(failure)) from None


def commits_of_copy(metadata: Mapping[str, str], first_seen: datetime) -> tuple[Commit, ...]:
    """Return the commit that a published copy names in its metadata."""
    return (Commit(metadata["commit"], first_seen, "published"),) if "commit" in metadata else ()


def _load_report(content: dict[str, Any]) -> StoredReport:
    end = times.parse(content["end"])
    if end is None:
        raise ValueError("a report has no end")
    return StoredReport(content["id"], end, content["path"], content.get("partial") is True)
