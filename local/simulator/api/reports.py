"""Attendance reports: the list, one report, and its attendance records by page.

The list holds the 50 newest of the series in no order, without records; a channel meeting lists those of the whole
channel. The reports of a webinar's or town hall's session may also be read as those of an online meeting.
Sources: List meetingAttendanceReports, Get meetingAttendanceReport, List attendanceRecords.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from local.simulator import moments, odata
from local.simulator.api.routing import GraphRequest, Route
from local.simulator.odata import Entity, GraphError, GraphReply
from local.simulator.settings import SimulatorSettings
from local.simulator.tenant import attendance
from local.simulator.tenant.attendance import Attendee, Form
from local.simulator.tenant.sessions import Meeting, Session
from local.simulator.tenant.world import World

LISTED = 50


@dataclass(frozen=True)
class Place:
    """Where reports are read: the meeting, the context, and the form."""

    meeting: Meeting
    context: str
    form: Form


class AttendanceReports:
    """The routes under one address; `place` resolves a request, or refuses it."""

    def __init__(
        self, world: World, settings: SimulatorSettings, address: str, place: Callable[[GraphRequest], Place]
    ) -> None:
        self._world = world
        self._settings = settings
        self._address = f"{address}/attendanceReports"
        self._named = place

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        return [
            Route("GET", self._address, self.listed),
            Route("GET", self._address + "/{report}", self.get),
            Route("GET", self._address + "/{report}/attendanceRecords", self.records),
        ]

    async def listed(self, request: GraphRequest) -> GraphReply:
        """The newest reports, shuffled in the same way every time."""
        place = self._place(request)
        at = moments.now()
        sessions = self._world.newest_reports(place.meeting, at, LISTED)
        Random(place.meeting.id).shuffle(sessions)
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
            odata.select_properties(
                attendance.report(session, attendance.attendees_at(self._world, session, at), at, place.form),
                select,
            )
            for session in page
        ]
        return GraphReply(body=odata.collection(request.context(place.context), items, next_link))

    async def get(self, request: GraphRequest) -> GraphReply:
        """One report, with the first page of records for `$expand=attendanceRecords`."""
        place = self._place(request)
        session = self._session(request, place)
        at = moments.now()
        everyone = attendance.attendees_at(self._world, session, at)
        select = request.query.get("$select")
        properties = {"@odata.context": odata.text(request.context(f"{place.context}/$entity"))}
        properties |= odata.select_properties(attendance.report(session, everyone, at, place.form), select)
        expand = request.query.get("$expand")
        if expand is not None:
            if expand.strip() != "attendanceRecords":
                raise GraphError(400, "BadRequest", f"Could not find a property named '{expand}'.")
            records, next_link = self._page(
                request, everyone, f"{request.address}/attendanceRecords", place.form
            )
            properties["attendanceRecords@odata.context"] = odata.text(
                request.context(f"{place.context}('{session.report_id}')/attendanceRecords")
            )
            properties["attendanceRecords"] = (
                "[" + ",".join(odata.entity_text(record) for record in records) + "]"
            )
            if next_link is not None and not self._settings.lose_next_links:
                top = self._settings.next_link_form == "top"
                name = "@odata.nextLink" if top else "attendanceRecords@odata.nextLink"
                properties[name] = odata.text(next_link)
        return GraphReply(body=odata.entity_text(properties))

    async def records(self, request: GraphRequest) -> GraphReply:
        """A page of the records of one report."""
        place = self._place(request)
        session = self._session(request, place)
        everyone = attendance.attendees_at(self._world, session, moments.now())
        page, next_link = self._page(request, everyone, request.address, place.form)
        context = request.context(f"{place.context}('{session.report_id}')/attendanceRecords")
        return GraphReply(body=odata.collection(context, page, next_link))

    def _place(self, request: GraphRequest) -> Place:
        """The place that a request names, in the form of this cloud."""
        place = self._named(request)
        government = self._settings.report_properties == "usGovernment"
        return replace(place, form=replace(place.form, government=government))

    def _session(self, request: GraphRequest, place: Place) -> Session:
        session = self._world.report(place.meeting, request.parameters["report"], moments.now())
        if session is None:
            raise GraphError(404, "NotFound", "Attendance report is not found.")
        if session.report_refused is not None:
            raise GraphError(session.report_refused, "BadRequest", "This report cannot be read.")
        return session

    def _page(
        self, request: GraphRequest, everyone: tuple[Attendee, ...], address: str, form: Form
    ) -> tuple[list[Entity], str | None]:
        size = request.page_size(self._settings.record_page_size)
        start = odata.offset_of(request.query.get("$skiptoken"))
        following = start + size
        if form.reversed:
            everyone = everyone[::-1]
        next_link = None
        if following < len(everyone):
            next_link = odata.link(address, skiptoken=odata.skip_token(str(following)))
        return [each.entity(form) for each in everyone[start:following]], next_link
