"""The simulated tenant: people, online meetings and sessions (calls).

Pure data with the indexes that the routes need, so that nothing is ever scanned; no clock, no I/O. All that is
random follows from the seed and the order in which things were added.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from local.simulator.tenant import links
from local.simulator.tenant.orders import MeetingKind, NewMeeting, NewPast, NewSession, View
from local.simulator.tenant.people import Person, full_name, guid, staff
from local.simulator.tenant.policies import Policies
from local.simulator.tenant.sessions import Meeting, Session

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of all personal accounts
DEFAULT_LENGTH = timedelta(minutes=30)


SCHEDULE_STEP = timedelta(minutes=5)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A tenant and everything in it."""

    seed: int
    tenant_id: str
    counter: int = 0
    people: dict[str, Person] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    meetings: dict[str, Meeting] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    by_join_url: dict[str, str] = field(default_factory=dict)
    by_join_meeting_id: dict[str, str] = field(default_factory=dict)
    by_report: dict[str, str] = field(default_factory=dict)
    by_start: list[tuple[datetime, str]] = field(default_factory=list)
    by_series: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reseed(self.seed)

    def reseed(self, seed: int) -> None:
        """Replace the people by those of another seed; only before anything happened."""
        self.seed = seed
        self.people.clear()
        self.people.update(staff(seed))
        self._staff = tuple(self.people)

    def add_meeting(
        self, order: NewMeeting, kind: MeetingKind | None = None, view: View = "plain"
    ) -> Meeting:
        """Add a meeting as ordered; an unknown organizer joins the tenant.

        `kind`: of an event's session.

        One who is denied is nobody else's organizer, unless the order names one who is.
        """
        source = self._source()
        foreign = CONSUMERS if order.kind == "personal" else order.tenant
        is_new = foreign or order.denied
        organizer = order.organizer or (guid(source) if is_new else source.choice(self._staff))
        organizer = organizer.lower()
        tenant = (foreign or self.tenant_id).lower()
        thread, message = links.thread(source, order, self.seed)
        join_id = links.join_meeting_id(source)
        meeting_id = links.meeting_id(organizer, thread, message)
        short = order.kind in ("meetNow", "short", "personal")
        refused = order.kind == "short" if order.join_url_refused is None else order.join_url_refused
        meeting = Meeting(
            id=meeting_id,
            kind=kind or order.kind,
            organizer_id=organizer,
            tenant_id=tenant,
            subject=order.subject or f"Meeting {self.counter}",
            thread_id=thread,
            series=thread if order.kind == "channel" else meeting_id,
            join_web_url=links.short_url(source, join_id, personal=order.kind == "personal")
            if short
            else links.classic_url(thread, message, tenant, organizer),
            join_meeting_id=join_id,
            join_url_refused=refused,
            view=view,
            scheduled_start=order.scheduled_start,
            scheduled_end=order.scheduled_end,
            invited=order.invited,
        )
        if order.denied:
            self.policies.denied.add(organizer)
        self.put_meeting(meeting)
        return meeting

    def put_meeting(self, meeting: Meeting) -> None:
        """Add `meeting` to the indexes."""
        if meeting.tenant_id == self.tenant_id:
            self.person(meeting.organizer_id)
        self.meetings[meeting.id] = meeting
        self.by_join_url[meeting.join_web_url] = meeting.id
        self.by_join_meeting_id[meeting.join_meeting_id] = meeting.id

    def person(self, user: str) -> Person:
        """The user with this object id, who joins the tenant where unknown so far."""
        if user not in self.people:
            name = full_name(self.source_of(user))
            self.people[user] = Person(user, name, f"{user[:8]}@contoso.example")
        return self.people[user]

    def add_session(self, order: NewSession, at: datetime) -> Session:
        """Add a session as ordered, which ends at `at` by default.

        Raises ValueError, KeyError (no such meeting).
        """
        meeting = None if order.meeting_id is None else self.meetings[order.meeting_id]
        source = self._source()
        end = order.end or (order.start + DEFAULT_LENGTH if order.start else at)
        start = order.start or end - DEFAULT_LENGTH
        if start >= end or min(order.participants, order.announce, order.engagements or 0) < 0:
            raise ValueError("a session ends after its start, and has no negative numbers")
        if meeting is not None and order.type == "peerToPeer":
            raise ValueError("a peer-to-peer call is not a session of a meeting")
        foreign = meeting is not None and meeting.tenant_id != self.tenant_id
        session = Session(
            call_id=guid(source),
            report_id=guid(source),
            meeting_id=order.meeting_id,
            organizer_id=meeting.organizer_id if meeting else source.choice(self._staff),
            type=order.type,
            start=start,
            end=end,
            participants=order.participants,
            engagements=order.engagements,
            report_delay=order.report_delay,
            record_delay=order.record_delay,
            announce=int(order.announce),
            announce_delay=order.record_delay if order.announce_delay is None else order.announce_delay,
            early_report=order.early_report,
            grow_after=order.grow_after,
            no_report=order.no_report or foreign,
            first_version_lacks=order.first_version_lacks,
            revised_after=order.revised_after,
            report_refused=order.report_refused,
            phone_organizer=order.phone_organizer,
            record_organizer=order.record_organizer,
        )
        self.put_session(session)
        return session

    def put_session(self, session: Session) -> None:
        """Add `session` to the indexes, or replace the one with its call id."""
        if session.call_id in self.sessions:
            self._forget(self.sessions[session.call_id])
        self.sessions[session.call_id] = session
        self.by_report[session.report_id] = session.call_id
        insort(self.by_start, (session.start, session.call_id))
        if session.meeting_id is not None:
            series = self.meetings[session.meeting_id].series
            insort(self.by_series.setdefault(series, []), (session.end, session.call_id))

    def add_past(self, order: NewPast, at: datetime) -> list[Session]:
        """Add ended meetings on the UTC days before `at`, one session each."""
        today = at.replace(hour=0, minute=0, second=0, microsecond=0)
        sessions = []
        for number in range(order.days * order.meetings_per_day):
            meeting = self.add_meeting(NewMeeting(kind="recurring" if number % 5 == 0 else "scheduled"))
            back, nth = divmod(number, order.meetings_per_day)
            end = today - timedelta(days=back + (nth + 1) / (order.meetings_per_day + 1))
            wanted = NewSession(
                meeting_id=meeting.id, end=end, participants=order.participants, announce=False
            )
            sessions.append(self.add_session(wanted, at))
        return sessions

    def records_from(self, first: tuple[datetime, str], at: datetime, since: datetime) -> Iterator[Session]:
        """Sessions with a call record at `at`, by start, from index `first` until `since`."""
        for index in range(bisect_left(self.by_start, first), len(self.by_start)):
            start, call_id = self.by_start[index]
            if start > since:
                return
            session = self.sessions[call_id]
            if session.record_exists(at):
                yield session

    def newest_reports(self, meeting: Meeting, at: datetime, limit: int) -> list[Session]:
        """The `limit` newest sessions with reports, of the meeting or its channel."""
        found: list[Session] = []
        for _, call_id in reversed(self.by_series.get(meeting.series, [])):
            session = self.sessions[call_id]
            if session.report_exists(at):
                found.append(session)
                if len(found) == limit:
                    break
        return found

    def schedule(self, meeting: Meeting) -> tuple[datetime, datetime] | None:
        """Return when a meeting is scheduled.

        As ordered, else around its first session, in steps of five minutes.
        """
        if meeting.scheduled_start and meeting.scheduled_end:
            return meeting.scheduled_start, meeting.scheduled_end
        held = (self.sessions[call_id] for _, call_id in self.by_series.get(meeting.series, []))
        first = next((each for each in held if each.meeting_id == meeting.id), None)
        if first is None:
            return None
        late = (first.end - EPOCH) % SCHEDULE_STEP
        end = first.end + (SCHEDULE_STEP - late if late else late)
        return first.start - (first.start - EPOCH) % SCHEDULE_STEP, end

    def report(self, meeting: Meeting, report_id: str, at: datetime) -> Session | None:
        """The session behind a report of this meeting (or channel), if that report exists."""
        session = self.session_of_report(report_id)
        if session is None or session.meeting_id is None or not session.report_exists(at):
            return None
        return session if self.meetings[session.meeting_id].series == meeting.series else None

    def session_of_report(self, report_id: str) -> Session | None:
        """The session whose report has this id, whether it exists yet or not."""
        call_id = self.by_report.get(report_id.lower())
        return None if call_id is None else self.sessions[call_id]

    def change_session(self, call_id: str, **changes: object) -> Session:
        """The session with some fields replaced. Raises KeyError."""
        session = replace(self.sessions[call_id], **changes)  # type: ignore[arg-type]
        self.put_session(session)
        return session

    def source_of(self, name: str) -> Random:
        """Randomness that depends on the seed and `name` alone."""
        return Random(f"{self.seed}:{name}")

    def _forget(self, session: Session) -> None:
        del self.by_start[bisect_left(self.by_start, (session.start, session.call_id))]
        if session.meeting_id is not None:
            entries = self.by_series[self.meetings[session.meeting_id].series]
            del entries[bisect_left(entries, (session.end, session.call_id))]

    def _source(self) -> Random:
        self.counter += 1
        return Random(f"{self.seed}:{self.counter}")
