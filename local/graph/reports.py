"""Attendance reports of a meeting: the list, one report, and its attendance records page by page.

The list holds the 50 newest of the series in no order, without records; a channel meeting lists those of the whole
channel. Sources: List meetingAttendanceReports, Get meetingAttendanceReport, List attendanceRecords.
"""

from __future__ import annotations

from random import Random

from local.graph import attendance, moments, odata
from local.graph.attendance import Attendee
from local.graph.odata import Entity, GraphError, Reply
from local.graph.onlinemeetings import OnlineMeetings
from local.graph.routing import GraphRequest, Route
from local.graph.settings import Settings
from local.graph.world import Session, World

LISTED = 50
_LIST = "/users/{user}/onlineMeetings/{meeting}/attendanceReports"


class AttendanceReports:
    """The routes below `/users/{user}/onlineMeetings/{meeting}/attendanceReports`."""

    def __init__(self, world: World, settings: Settings, meetings: OnlineMeetings) -> None:
        self._world = world
        self._settings = settings
        self._meetings = meetings

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        return [
            Route("GET", _LIST, self.listed),
            Route("GET", _LIST + "/{report}", self.get),
            Route("GET", _LIST + "/{report}/attendanceRecords", self.records),
        ]

    async def listed(self, request: GraphRequest) -> Reply:
        """The newest reports, shuffled the same way every time."""
        meeting = self._meetings.meeting(request)
        at = moments.now()
        sessions = self._world.newest_reports(meeting, at, LISTED)
        Random(meeting.id).shuffle(sessions)
        select = request.query.get("$select")
        size = request.page_size(self._settings.report_page_size or LISTED)
        start = odata.offset_of(request.query.get("$skiptoken"))
        next_link = None
        if start + size < len(sessions):
            next_link = odata.link(
                request.address, select=select, skiptoken=odata.skip_token(str(start + size))
            )
        page = sessions[start : start + size]
        items = [
            odata.selected(
                attendance.report(session, attendance.attendees_at(self._world, session, at), at), select
            )
            for session in page
        ]
        return Reply(body=odata.collection(request.context(_context(request)), items, next_link))

    async def get(self, request: GraphRequest) -> Reply:
        """One report, with the first page of its records where `$expand=attendanceRecords` asks for them."""
        session = self._session(request)
        at = moments.now()
        everyone = attendance.attendees_at(self._world, session, at)
        select = request.query.get("$select")
        context = _context(request)
        properties = {"@odata.context": odata.text(request.context(f"{context}/$entity"))}
        properties |= odata.selected(attendance.report(session, everyone, at), select)
        expand = request.query.get("$expand")
        if expand is not None:
            if expand.strip() != "attendanceRecords":
                raise GraphError(400, "BadRequest", f"Could not find a property named '{expand}'.")
            records, next_link = self._page(request, everyone, f"{request.address}/attendanceRecords")
            properties["attendanceRecords@odata.context"] = odata.text(
                request.context(f"{context}('{session.report_id}')/attendanceRecords")
            )
            properties["attendanceRecords"] = (
                "[" + ",".join(odata.rendered(record) for record in records) + "]"
            )
            if next_link is not None:
                top = self._settings.next_link_form == "top"
                name = "@odata.nextLink" if top else "attendanceRecords@odata.nextLink"
                properties[name] = odata.text(next_link)
        return Reply(body=odata.rendered(properties))

    async def records(self, request: GraphRequest) -> Reply:
        """A page of the records of one report."""
        session = self._session(request)
        everyone = attendance.attendees_at(self._world, session, moments.now())
        page, next_link = self._page(request, everyone, request.address)
        context = request.context(f"{_context(request)}('{session.report_id}')/attendanceRecords")
        return Reply(body=odata.collection(context, page, next_link))

    def _session(self, request: GraphRequest) -> Session:
        meeting = self._meetings.meeting(request)
        session = self._world.report(meeting, request.parameters["report"], moments.now())
        if session is None:
            raise GraphError(404, "NotFound", "Attendance report is not found.")
        if session.report_refused is not None:
            raise GraphError(session.report_refused, "BadRequest", "This report cannot be read.")
        return session

    def _page(
        self, request: GraphRequest, everyone: tuple[Attendee, ...], address: str
    ) -> tuple[list[Entity], str | None]:
        size = request.page_size(self._settings.record_page_size)
        start = odata.offset_of(request.query.get("$skiptoken"))
        following = start + size
        next_link = None
        if following < len(everyone):
            next_link = odata.link(address, skiptoken=odata.skip_token(str(following)))
        return [each.entity() for each in everyone[start:following]], next_link


def _context(request: GraphRequest) -> str:
    user, meeting = request.parameters["user"], request.parameters["meeting"]
    return f"users('{user}')/onlineMeetings('{meeting}')/attendanceReports"
