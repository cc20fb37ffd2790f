"""Sources of attendance reports: an online meeting, or a virtual event's session.

A source completes the facts of the meeting, takes the decisions that the call record alone allows, and selects the
reports of the session. Every method raises a GraphError if Graph does not return what is needed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from ..errors import AccessDenied, NotFound, Refused, Undecided, Unsupported
from ..graph import events, invitees, meetings, reports
from ..graph.client import Graph
from ..graph.invitees import InviteeList, ListState
from ..graph.join_urls import parse_join_url
from ..graph.meeting_details import select_details
from ..graph.meetings import CallRecord, MeetingCache
from ..graph.reports import EventReports, MeetingReports, Report, ReportHeader, ReportLocation
from ..ledger.record import Cause, Record, Result
from ..messages.signals import Meeting, Origin, SignalKind, kind_of, subject_of
from ..settings import Settings
from ..storage.watchlist import Watchlist
from . import matching
from .matching import MeetingSession, Selection


class ReportSource(Protocol):
    """The reports of one signal."""

    def is_incomplete(self, meeting: Meeting) -> bool:
        """Whether Graph must be asked for facts before the reports can be located."""

    def resolve_meeting(self, meeting: Meeting) -> tuple[Meeting, Result | None]:
        """Complete the facts of the meeting. A result settles the signal."""

    def locate_reports(self, meeting: Meeting) -> tuple[Meeting, ReportLocation]:
        """Locate the reports. Raises Refused if asking again cannot help."""

    def select_reports(self, meeting: Meeting, where: ReportLocation, now: datetime) -> Selection:
        """Select the reports of the session."""

    def complete_from_report(self, meeting: Meeting, report: Report) -> Meeting:
        """Complete the facts of the meeting from one of its reports."""

    def list_invitees(self, meeting: Meeting) -> InviteeList:
        """List who was invited to the meeting, or registered for it."""


def decide_by_organizer(meeting: Meeting, settings: Settings) -> Result | None:
    """Return the result if the organizer of the meeting alone decides it, or None."""
    if parse_join_url(meeting.join_url or "").is_personal:
        return None  # whoever the organizer is: `locate_reports` says why there are no reports
    tenant, organizer = meeting.organizer_tenant, meeting.organizer_id
    if tenant and tenant.lower() != settings.tenant_id:
        return Result.EXTERNAL_ORGANIZER
    if organizer and not is_in_scope(organizer, settings):
        return Result.OUT_OF_SCOPE
    return None


def facts_of(record: CallRecord, origin: Origin) -> Meeting:
    """Return the facts of a meeting from its call record."""
    return Meeting(
        record.start,
        record.end,
        record.join_url if record.is_meeting else None,
        record.organizer_id,
        version=record.version,
        origin=origin,
        organizer_tenant=record.organizer_tenant,
    )


def is_in_scope(organizer_id: str, settings: Settings) -> bool:
    """Whether the organizer is in scope: in the pilot group, if there is one."""
    return not settings.organizers or organizer_id.lower() in settings.organizers


def is_channel(meeting: Meeting) -> bool:
    """Whether this is a channel meeting, whose list covers the whole channel."""
    return parse_join_url(meeting.join_url or "").is_channel


@dataclass(frozen=True)
class MeetingSource:
    """The reports of the online meeting behind a call record or a call event."""

    record: Record
    graph: Graph
    settings: Settings
    known_meetings: MeetingCache
    watchlist: Watchlist

    def is_incomplete(self, meeting: Meeting) -> bool:
        """Whether the call record, or for a call event the organizer, is unknown."""
        if kind_of(self.record.signal_id) is SignalKind.CALL_EVENT:
            return meeting.organizer_id is None
        return None in (meeting.end, meeting.organizer_id, meeting.join_url)

    def resolve_meeting(self, meeting: Meeting) -> tuple[Meeting, Result | None]:
        """Read the call record, or find the organizer of a watched meeting."""
        if kind_of(self.record.signal_id) is SignalKind.CALL_EVENT:
            return self._find_organizer(meeting), None
        record = meetings.get_call_record(self.graph, subject_of(self.record.signal_id))
        is_newest = record.version >= meeting.version  # Graph's list may show a later one
        decision = Result.NOT_A_MEETING if record.is_between_people and is_newest else None
        known = meeting.merge(facts_of(record, Origin.RECORD))
        if (known.organizer_id, known.join_url) != (meeting.organizer_id, meeting.join_url):
            known = replace(known, meeting_id=None)
        return known, decision

    def _find_organizer(self, meeting: Meeting) -> Meeting:
        """Find the organizer in the watch list or in the join URL."""
        url = meeting.join_url or ""
        link, watched = parse_join_url(url), self.watchlist.find(url)
        organizer = (watched and watched.organizer_id) or link.organizer_id or meeting.organizer_id
        return replace(meeting, organizer_id=organizer, organizer_tenant=link.tenant_id)

    def locate_reports(self, meeting: Meeting) -> tuple[Meeting, MeetingReports]:
        """Find the online meeting by its join URL, unless its id is known."""
        organizer_id, join_url = meeting.organizer_id, meeting.join_url
        if join_url is None:
            raise Undecided("find meeting", "the call record has no join URL")
        if parse_join_url(join_url).is_personal:
            raise Unsupported(
                "find meeting", "the link is of teams.live.com, and Graph has no reports of personal accounts"
            )
        if organizer_id is None:
            raise NotFound(
                "find meeting", "neither the call record nor the link names an organizer of this tenant"
            )
        if meeting.meeting_id is None or meeting.details is None:
            meeting = self._find_meeting(meeting, organizer_id, join_url)
        return meeting, MeetingReports(
            meeting.organizer_id or "", meeting.meeting_id or "", join_url, details=meeting.details
        )

    def _find_meeting(self, meeting: Meeting, organizer_id: str, join_url: str) -> Meeting:
        """Find the meeting of its organizer, or else of the one in the join URL."""
        try:
            return self._with_meeting(meeting, organizer_id, join_url)
        except (AccessDenied, NotFound) as failure:
            other = self._other_organizer(organizer_id, join_url)
            if other is None:
                raise
            try:
                return self._with_meeting(meeting, other, join_url)
            except (AccessDenied, NotFound) as second:
                if isinstance(failure, NotFound) and isinstance(second, AccessDenied):
                    second.organizer_id = other
                    raise
                raise failure from None

    def _with_meeting(self, meeting: Meeting, organizer_id: str, join_url: str) -> Meeting:
        """Add the id and the details of this organizer's meeting."""
        found = self.known_meetings.find(self.graph, organizer_id, join_url)
        details = select_details(found.details, self.settings.meeting_details)
        return replace(meeting, organizer_id=organizer_id, meeting_id=found.id, details=details)

    def _other_organizer(self, organizer_id: str, join_url: str) -> str | None:
        """Return the join URL's organizer if it is another one, and in scope."""
        link = parse_join_url(join_url)
        other, tenant = link.organizer_id, link.tenant_id or self.settings.tenant_id
        if other is None or other.lower() == organizer_id.lower():
            return None
        is_ours = tenant.lower() == self.settings.tenant_id and is_in_scope(other, self.settings)
        return other if is_ours else None

    def select_reports(self, meeting: Meeting, where: ReportLocation, now: datetime) -> Selection:
        """List the reports of the meeting and match them to the session."""
        if meeting.end is None:
            raise NotFound("find meeting", "the end of the call is not known")
        try:
            headers = reports.list_reports(self.graph, where)
        except (NotFound, AccessDenied):
            self.known_meetings.forget(meeting.organizer_id or "", meeting.join_url or "")
            raise
        return matching.match_reports(
            headers,
            MeetingSession(meeting.start, meeting.end),
            now,
            in_channel=is_channel(meeting),
            everything=self.record.series.cause is Cause.BACKFILL,
        )

    def complete_from_report(self, meeting: Meeting, report: Report) -> Meeting:
        """Return the meeting unchanged: its times are those of the call."""
        return meeting

    def list_invitees(self, meeting: Meeting) -> InviteeList:
        """List who was invited, as the online meeting says.

        An instance remembers it for a day.
        """
        found = self.known_meetings.find(self.graph, meeting.organizer_id or "", meeting.join_url or "")
        return found.invitees or InviteeList(ListState.NOT_SUPPORTED)


@dataclass(frozen=True)
class EventSource:
    """The report that a virtual event's signal names.

    The session is asked for its join URL and its organizer.
    """

    record: Record
    graph: Graph
    settings: Settings

    def is_incomplete(self, meeting: Meeting) -> bool:
        """Whether the organizer is unknown.

        The pilot's scope and the advice after a refusal depend on it.
        """
        return meeting.organizer_id is None

    def resolve_meeting(self, meeting: Meeting) -> tuple[Meeting, Result | None]:
        """Read the session's join URL and organizer, or else the event's organizer."""
        session, join_url, organizer = self._where(meeting).session, meeting.join_url, None
        with contextlib.suppress(NotFound, Refused):
            found = events.get_session(self.graph, session)
            join_url, organizer = join_url or found.join_url, found.organizer_id
            details = select_details(found.details, self.settings.meeting_details)
            meeting = replace(meeting, details=details)
        if organizer is None:
            organizer = events.get_event(self.graph, session.source, session.event_id).organizer_id
        return replace(meeting, join_url=join_url, organizer_id=organizer or meeting.organizer_id), None

    def locate_reports(self, meeting: Meeting) -> tuple[Meeting, EventReports]:
        """Return the place of the session's reports."""
        return meeting, self._where(meeting)

    def _where(self, meeting: Meeting) -> EventReports:
        if meeting.event is None:
            raise NotFound("get attendance report", "the record names no session")
        return EventReports(
            meeting.event, meeting.organizer_id or "", meeting.join_url or "", meeting.details
        )

    def select_reports(self, meeting: Meeting, where: ReportLocation, now: datetime) -> Selection:
        """Select the one report of the signal."""
        return Selection((ReportHeader(subject_of(self.record.signal_id), None, None),), (), (), ())

    def complete_from_report(self, meeting: Meeting, report: Report) -> Meeting:
        """Take the times of the session from its report."""
        return replace(meeting, start=report.start, end=report.end, origin=Origin.RECORD)

    def list_invitees(self, meeting: Meeting) -> InviteeList:
        """List the registrations for the event."""
        return invitees.list_registrations(self.graph, self._where(meeting).session)
