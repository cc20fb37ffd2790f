"""Online meetings of a user: by join URL, by meeting number, or by id.

Only the organizer's object id works, for an application where an access policy covers that user, for a signed-in
user with `/me`. The link in a filter must be escaped once more as a whole; after one decoding it must be the link
itself.
Source: Get onlineMeeting; the texts of refusals are those seen in the field.
"""

from __future__ import annotations

import re

from local.simulator import odata
from local.simulator.api.reports import Place
from local.simulator.api.routing import GraphRequest, Route
from local.simulator.moments import format_time
from local.simulator.odata import Entity, GraphError, GraphReply
from local.simulator.tenant import attendance, links
from local.simulator.tenant.invitees import participants
from local.simulator.tenant.sessions import Meeting
from local.simulator.tenant.world import World

_FILTER = re.compile(
    r"\s*(joinWebUrl|joinMeetingIdSettings/joinMeetingId)\s+eq\s+'((?:[^']|'')*)'\s*", re.IGNORECASE
)
_GUID = re.compile(links.GUID, re.IGNORECASE)
ARTIFACTS = "OnlineMeetingArtifact.Read.All"
READ = ("OnlineMeetings.Read", "OnlineMeetings.ReadWrite")


class OnlineMeetings:
    """The routes `/users/{user}/onlineMeetings` and `/me/onlineMeetings`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """The routes of this resource."""
        return [
            Route("GET", f"{whose}/onlineMeetings{rest}", answer)
            for whose in ("/users/{user}", "/me")
            for rest, answer in (("", self.find), ("/{meeting}", self.get))
        ]

    async def find(self, request: GraphRequest) -> GraphReply:
        """A collection with the one meeting that the filter names."""
        request.caller.needs(*READ)
        user = self.allowed_user(request)
        match = _FILTER.fullmatch(request.query.get("$filter", ""))
        if match is None:
            raise GraphError(400, "BadRequest", "Filter expression expected - JoinWebUrl eq '{url}'.")
        value = match[2].replace("''", "'")
        lookup = self._by_join_url if match[1].lower() == "joinweburl" else self._by_join_meeting_id
        meeting = lookup(value)
        self._check_access(meeting, user)
        context = request.context(f"users('{user}')/onlineMeetings")
        return GraphReply(body=odata.collection(context, [self._entity(meeting)]))

    async def get(self, request: GraphRequest) -> GraphReply:
        """One meeting by id."""
        request.caller.needs(*READ)
        meeting = self.meeting(request)
        context = odata.text(request.context(f"users('{meeting.organizer_id}')/onlineMeetings/$entity"))
        return GraphReply(body=odata.entity_text({"@odata.context": context} | self._entity(meeting)))

    def meeting(self, request: GraphRequest) -> Meeting:
        """The meeting that a path names, if the user in the path may see it.

        Raises GraphError.
        """
        user = self.allowed_user(request)
        meeting_id = request.parameters["meeting"]
        if links.organizer_in(meeting_id) is None:
            raise GraphError(400, "BadRequest", "Meeting Id is corrupted.")
        meeting = self._world.meetings.get(meeting_id)
        if meeting is None or meeting.view == "hidden":
            raise _not_found()
        self._check_access(meeting, user)
        return meeting

    def place(self, request: GraphRequest) -> Place:
        """Where the reports of the meeting in a path are read. Raises GraphError."""
        request.caller.needs(ARTIFACTS)
        meeting = self.meeting(request)
        context = f"users('{meeting.organizer_id}')/onlineMeetings('{meeting.id}')/attendanceReports"
        return Place(meeting, context, attendance.form_of(meeting.view))

    def allowed_user(self, request: GraphRequest) -> str:
        """The object id in the path, if the caller may act for that user.

        Raises GraphError.
        """
        if "user" not in request.parameters:
            return request.caller.me()
        user = request.parameters["user"].lower()
        if not _GUID.fullmatch(user):
            raise GraphError(400, "BadRequest", "The user id must be the object id of a user.")
        if request.caller.scopes is None:
            self._world.policies.check(request.caller.app_id, user)
        elif user != request.caller.object_id:
            raise GraphError(403, "Forbidden", "Insufficient privileges to complete the operation.")
        if user not in self._world.people or user in self._world.policies.deleted:
            raise GraphError(404, "NotFound", "User not found")
        return user

    def _by_join_url(self, url: str) -> Meeting:
        if not links.looks_like_a_join_url(url):
            raise GraphError(400, "BadRequest", "1026: An error has occurred.")
        meeting_id = self._world.by_join_url.get(url)
        if meeting_id is None:
            raise _not_found()
        meeting = self._world.meetings[meeting_id]
        if meeting.view == "hidden":
            raise _not_found()
        if meeting.join_url_refused:
            raise GraphError(400, "BadRequest", "1026: An error has occurred.")
        return meeting

    def _by_join_meeting_id(self, number: str) -> Meeting:
        if not number.isdecimal():
            raise GraphError(400, "BadRequest", "The join meeting id must hold digits only.")
        meeting_id = self._world.by_join_meeting_id.get(number)
        if meeting_id is None or self._world.meetings[meeting_id].view == "hidden":
            raise _not_found()
        return self._world.meetings[meeting_id]

    def _check_access(self, meeting: Meeting, user: str) -> None:
        if meeting.organizer_id != user:
            raise GraphError(403, "Forbidden", "3003: User does not have access to lookup meeting.")

    def _entity(self, meeting: Meeting) -> Entity:
        types = {"recurring": "recurring", "meetNow": "meetnow"}
        start, end = self._world.schedule(meeting) or (None, None)
        return odata.entity(
            id=meeting.id,
            joinWebUrl=meeting.join_web_url,
            subject=meeting.subject,
            startDateTime=start and format_time(start),
            endDateTime=end and format_time(end),
            meetingType=types.get(meeting.kind, "scheduled"),
            isBroadcast=False,
            chatInfo={"threadId": meeting.thread_id, "messageId": "0", "replyChainMessageId": None},
            joinMeetingIdSettings={
                "isPasscodeRequired": False,
                "joinMeetingId": meeting.join_meeting_id,
                "passcode": None,
            },
            participants=participants(self._world, meeting),
        )


def _not_found() -> GraphError:
    return GraphError(404, "NotFound", "3004: Specified meeting is not found.")
