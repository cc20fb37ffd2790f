"""A report as a session of a training.

Who was there and when, and who was invited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from ...archive.reports import LONGEST_MEETING
from ...graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from ...privacy.identifiers import id_token
from ...settings import GUID
from ...tables import rows
from ...tables.spans import Span, parse_span
from .lengths import ZERO

_REGISTERED = "registered"  # status of a registration that was accepted
_ERASED = "erased-"  # an erased attendance record's id begins so


@dataclass(frozen=True)
class Presence:
    """An attendance record: a person, and when the person was present.

    `untimed` is presence of which Graph gives a length, but not both times. `key` is the token of the object id, else
    of the address, else None: such a person cannot be recognized.
    """

    object_id: str | None
    address: str | None
    name: str
    role: str
    kind: str
    stays: tuple[Span, ...] = ()
    untimed: timedelta = ZERO
    is_erased: bool = False
    registration_id: str | None = None

    @property
    def key(self) -> str | None:
        """The token of the object id, else of the address."""
        identifier = self.object_id or self.address
        return id_token(identifier) if identifier else None


@dataclass(frozen=True)
class Expected:
    """Somebody who should attend: by object id, by addresses, or both.

    `days`: only on these dates; None is every date. `more` are further columns of a roster. `registrations` are those
    for a webinar or town hall.
    """

    object_id: str | None
    addresses: tuple[str, ...]
    name: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    days: frozenset[date] | None = None
    registrations: tuple[str, ...] = ()

    @property
    def tokens(self) -> list[str]:
        """The tokens of all identifiers."""
        ids = [id_token(each) for each in (self.object_id, *self.addresses) if each]
        return [*ids, *map(registration_token, self.registrations)]


@dataclass(frozen=True)
class TrainingSession:
    """A report: one session of the meeting. `day` is the partition of its blob.

    `invited` are those who were invited or registered, None if that is unknown; `is_list_cut`: there are more.
    """

    report_id: str
    day: date
    start: datetime | None
    end: datetime | None
    schedule: Span | None
    subject: str | None
    is_partial: bool
    is_erased: bool
    records: tuple[Presence, ...]
    invited: tuple[Expected, ...] | None = None
    is_list_cut: bool = False

    @property
    def span(self) -> Span | None:
        """From start to end, if both are known and make sense."""
        if self.start is None or self.end is None or not ZERO < self.end - self.start <= LONGEST_MEETING:
            return None
        return self.start, self.end

    @property
    def begin(self) -> datetime:
        """When it began, as far as that is known."""
        span = self.span
        return span[0] if span else self.end or datetime.combine(self.day, time(), UTC)


def read_session(
    report: Mapping[str, Any],
    line: Mapping[str, Any],
    day: date,
    found: InviteeList | None = None,
) -> TrainingSession:
    """Return the session in a report.

    `line` is its line of the index, `day` the partition of its blob, `found` the list of its invitees.
    """
    meeting = rows.meeting_row(report, line)
    return TrainingSession(
        report_id=meeting["reportId"] or "",
        day=day,
        start=_parse(meeting["meetingStart"]),
        end=_parse(meeting["meetingEnd"]),
        schedule=parse_span(meeting["scheduledStart"], meeting["scheduledEnd"]),
        subject=meeting["subject"],
        is_partial=meeting["partial"],
        is_erased=line.get("erased") is True,
        records=tuple(map(_presence, rows.attendee_rows(report, line))),
        invited=None if found is None else tuple(map(_invited, filter(_is_expected, found.invitees))),
        is_list_cut=found is not None and found.state is ListState.TRUNCATED,
    )


def _presence(row: Mapping[str, Any]) -> Presence:
    key, address, name = row["personKey"], (row["emailAddress"] or "").strip(), row["displayName"] or ""
    timed = [(parse_span(each["join"], each["leave"]), each["seconds"]) for each in row["intervals"]]
    seconds = [value or 0 for span, value in timed if not span] if timed else [row["attendedSeconds"] or 0]
    return Presence(
        object_id=key if key and GUID.match(key) else None,
        address=address.lower() or None,
        name=name,
        role=row["role"] or "",
        kind=row["identityType"] or "",
        stays=tuple(span for span, _ in timed if span),
        untimed=timedelta(seconds=min(max(0, sum(seconds)), LONGEST_MEETING.total_seconds())),
        is_erased=(row["recordId"] or "").startswith(_ERASED) and not (key or name),
        registration_id=row["registrationId"] or None,
    )


def _is_expected(invitee: Invitee) -> bool:
    """Whether an invitee should come.

    A registration can be canceled, or not be accepted.
    """
    return invitee.kind is InviteeKind.INVITED or invitee.status in (None, _REGISTERED)


def _invited(invitee: Invitee) -> Expected:
    is_user = invitee.person_id is not None and GUID.match(invitee.person_id)
    address = (invitee.email_address or "").strip().lower()
    return Expected(
        invitee.person_id.lower() if invitee.person_id and is_user else None,
        (address,) if address else (),
        invitee.display_name or "",
        {"role": invitee.role} if invitee.role else {},
        registrations=(invitee.registration_id,) if invitee.registration_id else (),
    )


def registration_token(registration: str) -> str:
    """Return the token of a registration for a webinar or town hall."""
    return f"registration:{registration.strip().lower()}"


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
