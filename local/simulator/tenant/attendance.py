"""Attendance records of a session, and its report, as Graph returns them.

A pure function of the seed and the session; nothing is stored. A report that is early or may still grow is the same
report with fewer records. Nobody documents how Graph names those who are no users of the tenant, so they come in every
shape that its metadata allow. Engagements are documented and not yet everywhere; US Government leaves out more.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from local.simulator import moments, odata
from local.simulator.odata import Entity
from local.simulator.tenant.orders import View
from local.simulator.tenant.people import Person, full_name, guid, staff
from local.simulator.tenant.sessions import Session
from local.simulator.tenant.world import CONSUMERS, World

END_OF_TIME = datetime.max.replace(tzinfo=UTC)
TYPE = "#microsoft.graph.communications"
USER = f"{TYPE}UserIdentity"
PHONE = f"{TYPE}PhoneIdentity"
ENGAGEMENTS = (
    ("reaction", "like"), ("reaction", "love"), ("reaction", "applause"), ("reaction", "laugh"),
    ("reaction", "surprised"), ("hand", "raiseHand"), ("camera", "cameraOn"), ("camera", "cameraOff"),
    ("microphone", "unmute"), ("microphone", "mute"),
)  # fmt: skip
CRM = uuid.UUID("1a2b3c4d-0000-4000-8000-00000000c4a1")
SHARE_BEFORE_GROWTH = 0.6
FEW = 3  # engagements in a stay
# The identities of those who are no users of the tenant: their key in a set of identities, and their type.
_OUTSIDERS = {
    "anonymous": ("user", USER),
    "guest": ("guest", f"{TYPE}GuestIdentity"),
    "phone": ("phone", PHONE),
    "federated": ("user", USER),
    "consumer": ("user", USER),
    "applicationInstance": ("applicationInstance", f"{TYPE}ApplicationInstanceIdentity"),
    "acsUser": ("acsUser", "#microsoft.graph.azureCommunicationServicesUserIdentity"),
    "unknown": ("user", USER),
}


@dataclass(frozen=True)
class Form:
    """The form of a report: registrations, and the order of properties and records.

    `government`: without the properties that US Government leaves out.
    """

    registered: bool = False
    reversed: bool = False
    government: bool = False


OF_EVENT = Form(registered=True)


def form_of(view: View) -> Form:
    """The form of a report that is read through an online meeting."""
    return Form(registered=view in ("same", "reordered"), reversed=view == "reordered")


@dataclass(frozen=True)
class Interval:
    """One stay with `engaged` engagements; `seventh` is the last digit of both times."""

    join: datetime
    leave: datetime
    seventh: int
    engaged: int

    @property
    def seconds(self) -> int:
        """The length, in whole seconds as reports give it."""
        return int((self.leave - self.join).total_seconds())

    @property
    def engagements(self) -> list[dict[str, str]]:
        """What the person did during the stay."""
        found = []
        apart = 37 if self.engaged <= FEW else 7
        for number in range(self.engaged):
            at = self.join + timedelta(seconds=apart * (number + 1) + self.seventh)
            kind, subkind = ENGAGEMENTS[(3 * self.seventh + 7 * number) % len(ENGAGEMENTS)]
            if at < self.leave:
                moment = moments.format_time(at, self.seventh)
                found.append({"engagementType": kind, "engagementSubType": subkind, "dateTime": moment})
        return found


@dataclass(frozen=True)
class Attendee:
    """One attendance record."""

    id: str
    address: str | None
    role: str
    identity: str
    intervals: tuple[Interval, ...]

    def until(self, cut: datetime) -> Attendee | None:
        """The record as it was at `cut`, None before the person joined."""
        stays = tuple(replace(stay, leave=min(stay.leave, cut)) for stay in self.intervals if stay.join < cut)
        return Attendee(self.id, self.address, self.role, self.identity, stays) if stays else None

    def entity(self, form: Form) -> Entity:
        """The record as Graph returns it."""
        intervals = [
            {
                "joinDateTime": moments.format_time(stay.join, stay.seventh),
                "leaveDateTime": moments.format_time(stay.leave, stay.seventh),
                "durationInSeconds": stay.seconds,
            }
            for stay in self.intervals
        ]
        record = odata.entity(
            id=self.id,
            emailAddress=self.address,
            totalAttendanceInSeconds=sum(stay.seconds for stay in self.intervals),
            role=self.role,
        )
        if not form.government:
            record["registrationId"] = "null"
        record["identity"] = self.identity
        record["attendanceIntervals"] = odata.text(intervals)
        if not form.government:
            record["engagements"] = odata.text([each for stay in self.intervals for each in stay.engagements])
        if form.registered and not form.government:
            record |= self._registration()
        return _ordered(record, form)

    def _registration(self) -> Entity:
        """How somebody registered for a webinar or town hall; those who present did not."""
        if self.role in ("Organizer", "Presenter"):
            return odata.entity(registrationId=None, externalRegistrationInformation=None)
        registration = uuid.uuid5(CRM, self.id)
        elsewhere = {"referrer": "newsletter/ä", "registrationId": f"crm-{registration.fields[0]}"}
        return odata.entity(
            registrationId=str(registration),
            externalRegistrationInformation=elsewhere if registration.int % 2 else None,
        )


def report(session: Session, attendees: tuple[Attendee, ...], at: datetime, form: Form) -> Entity:
    """The report's own properties at `at`, without records."""
    seventh = _seventh(session)
    properties = odata.entity(
        id=session.report_id,
        totalParticipantCount=len(attendees),
        meetingStartDateTime=moments.format_time(session.start, seventh),
        meetingEndDateTime=moments.format_time(_end(session, at), seventh),
    )
    if not form.government:
        properties["externalEventInformation"] = odata.text(
            [{"applicationId": str(uuid.UUID(int=session.participants)), "externalEventId": "crm/1 ä"}]
            if seventh % 2
            else []
        )
    return _ordered(properties, form)


def attendees_at(world: World, session: Session, at: datetime) -> tuple[Attendee, ...]:
    """The attendees in the report of `session` at `at`."""
    organizer = world.people[session.organizer_id]
    everyone = _everyone(
        world.seed,
        session.call_id,
        session.start,
        session.end,
        session.participants,
        organizer,
        session.engagements,
    )
    if not session.report_is_final(at):
        return tuple(seen for each in everyone if (seen := each.until(_end(session, at))))
    if session.grow_after is not None and at < session.end + timedelta(seconds=session.grow_after):
        return everyone[: int(len(everyone) * SHARE_BEFORE_GROWTH)]
    return everyone


def whole_report(world: World, session: Session, *, government: bool = False) -> str:
    """The final report of a session: all records, without OData annotations."""
    meeting = None if session.meeting_id is None else world.meetings[session.meeting_id]
    form = replace(Form() if meeting is None or meeting.view == "plain" else OF_EVENT, government=government)
    everyone = attendees_at(world, session, END_OF_TIME)
    records = ",".join(odata.entity_text(each.entity(form)) for each in everyone)
    return odata.entity_text(
        report(session, everyone, END_OF_TIME, form) | {"attendanceRecords": f"[{records}]"}
    )


def _ordered(properties: Entity, form: Form) -> Entity:
    return dict(reversed(properties.items())) if form.reversed else properties


def _end(session: Session, at: datetime) -> datetime:
    """The end that the report gives: before it is final an earlier one, which moves."""
    if session.report_is_final(at):
        return session.end
    lag = min(timedelta(seconds=60), (session.end - session.start) / 20)
    return min(at, session.end - lag)


def _seventh(session: Session) -> int:
    return int(session.report_id[0], 16) % 10


@lru_cache(maxsize=256)
def _everyone(
    seed: int,
    call_id: str,
    start: datetime,
    end: datetime,
    participants: int,
    organizer: Person,
    engagements: int | None,
) -> tuple[Attendee, ...]:
    source = Random(f"{seed}:{call_id}:attendance")
    known = [person for person in _staff(seed) if person != organizer]
    source.shuffle(known)
    attendees = []
    for number in range(participants):
        stays = _stays(source, start, end, engagements)
        if number == 0:
            attendees.append(_employee(source, organizer, "Organizer", stays))
        elif known and source.random() < 0.7:
            role = source.choice(("Attendee", "Attendee", "Presenter", "None"))
            attendees.append(_employee(source, known.pop(), role, stays))
        else:
            attendees.append(_outsider(source, stays))
    return tuple(attendees)


@lru_cache(maxsize=4)
def _staff(seed: int) -> tuple[Person, ...]:
    return tuple(staff(seed).values())


def _employee(source: Random, person: Person, role: str, stays: tuple[Interval, ...]) -> Attendee:
    identity = {"@odata.type": USER, "id": person.id, "displayName": person.display_name, "tenantId": None}
    address = "" if source.random() < 0.1 else person.address
    return Attendee(person.id, address, role, odata.text(identity), stays)


def _outsider(source: Random, stays: tuple[Interval, ...]) -> Attendee:
    """Somebody who is no user of the tenant, named flat or under the kind of identity."""
    kind = source.choice((*_OUTSIDERS, "guest", "phone", "federated"))
    name, address = full_name(source), None
    identity: dict[str, str | None] = {"id": None, "displayName": name, "tenantId": None}
    match kind:
        case "anonymous":
            pass
        case "guest":
            identity["id"] = f"teamsvisitor:{guid(source).replace('-', '')}"
        case "phone":
            identity = {"id": f"+1425555{source.randrange(10**4):04d}", "displayName": None}
        case "federated" | "consumer":
            identity["id"] = guid(source)
            identity["tenantId"] = CONSUMERS if kind == "consumer" else guid(source)
            address = f"visitor{source.randrange(10**6)}@fabrikam.example" if kind == "federated" else None
        case "applicationInstance":
            identity = {"id": guid(source), "displayName": f"Auto attendant {source.randrange(100)}"}
        case "acsUser":
            identity = {"id": f"8:acs:{guid(source)}", "azureCommunicationServicesResourceId": guid(source)}
        case _:
            identity = dict.fromkeys(identity)
    key, type_name = _OUTSIDERS[kind]
    typed = {"@odata.type": type_name} | identity
    nested = {"application": None, "device": None, key: typed if source.random() < 0.5 else identity}
    written = nested if source.random() < 0.3 else typed
    return Attendee(guid(source), address, "Attendee", odata.text(written), stays)


def _stays(source: Random, start: datetime, end: datetime, engagements: int | None) -> tuple[Interval, ...]:
    """One to three stays, one after the other, within the session.

    With so many engagements altogether, or up to two more; None: at most three in each.
    """
    count = source.randint(1, 3)
    length = (end - start) / count
    stays = []
    for number in range(count):
        join = start + length * (number + source.uniform(0.0, 0.2))
        leave = start + length * (number + source.uniform(0.7, 1.0))
        seventh = source.randrange(10)
        engaged = (seventh + 1) % (FEW + 1) if engagements is None else -(-engagements // count)
        stays.append(Interval(join, leave, seventh, engaged))
    return tuple(stays)
