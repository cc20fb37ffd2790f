"""Notifications planned for an event or a call: what is announced, and when.

News whose time has passed is told at once. How often something is told, also never, is what a test says.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from local.simulator.delivery import call_events, resources
from local.simulator.delivery.notifications import Announcement
from local.simulator.tenant.events import Events, VirtualEvent
from local.simulator.tenant.orders import CALL_EVENTS, NewCallEvent, NewEvent, NewSession
from local.simulator.tenant.people import Person, guid
from local.simulator.tenant.sessions import Meeting, Session
from local.simulator.tenant.world import World

ROSTER = 10


def of_event(event: VirtualEvent, order: NewEvent, at: datetime) -> Announcement:
    """The announcement of a new event."""
    told = at + timedelta(seconds=order.announce_delay)
    return Announcement(told.timestamp(), resources.EVENTS, "virtualEvent", event.path, int(order.announce))


def of_session(events: Events, session: Session, order: NewSession) -> list[Announcement]:
    """All announcements of a call."""
    announced = session.announced_at().timestamp()
    news = [Announcement(announced, resources.CALL_RECORDS, "callRecord", session.call_id, session.announce)]
    if session.meeting_id is None:
        return news
    meeting = events.world.meetings[session.meeting_id]
    news += _call_events(events.world, meeting, session, order)
    held = events.by_meeting.get(meeting.id)
    if held is not None and not session.no_report:
        event = events.by_id[held.event_id]
        ready = session.end + timedelta(seconds=session.report_delay + order.report_announce_delay)
        path = f"{event.path}/sessions/{held.id}/attendanceReports/{session.report_id}"
        key = resources.reports_key(event.kind, event.id)
        news.append(
            Announcement(ready.timestamp(), key, "attendanceReport", path, int(order.announce_report))
        )
    return news


def of_call_event(world: World, order: NewCallEvent, at: datetime) -> Announcement:
    """A call event on demand."""
    source = Random(f"{world.seed}:{order.join_web_url}:{at}")
    people = _roster(world, source, order.participants)
    told = call_events.detail(order.event_type, order.at or at, people, world.tenant_id, source)
    key = resources.call_events_key(order.join_web_url)
    return Announcement(at.timestamp(), key, "callEvent", guid(source), order.times, told)


def _call_events(world: World, meeting: Meeting, session: Session, order: NewSession) -> list[Announcement]:
    source = world.source_of(f"{session.call_id}:callEvents")
    people = _roster(world, source, min(session.participants, ROSTER))
    key = resources.call_events_key(meeting.join_web_url)
    # Who comes is told after the start, and who goes before the end.
    moments = {
        "callStarted": [(session.start, False)],
        "rosterUpdated": [(session.start, False), (session.end, True)],
        "callEnded": [(session.end + timedelta(seconds=order.call_event_delay), False)],
    }
    news = []
    for name in CALL_EVENTS:
        for moment, left in moments[name] if name in order.call_events else ():
            happened = session.end if name == "callEnded" else moment
            told = call_events.detail(name, happened, people, world.tenant_id, source, left=left)
            news.append(Announcement(moment.timestamp(), key, "callEvent", guid(source), 1, told))
    return news


def _roster(world: World, source: Random, count: int) -> list[Person]:
    people = list(world.people.values())
    return [source.choice(people) for _ in range(count)]
