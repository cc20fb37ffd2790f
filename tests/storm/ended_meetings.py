"""A tenant's ended meetings in every shape, with the expected outcomes.

The shares are those of a busy tenant with its unpleasant cases exaggerated, so that a thousand calls hold a dozen
of each. Nothing here knows the product: what is expected follows from how Microsoft Graph behaves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from local.simulator.control.client import Control
from local.simulator.tenant.orders import NewMeeting, NewSession

SPREAD = timedelta(days=3)
FOREIGN_TENANT = "0f0e0d0c-0b0a-4908-8706-050403020100"
DENIED_ORGANIZER = "d0d0d0d0-1111-4222-8333-444444444444"
CHANNEL_MEETINGS = 10  # of one channel: its list shows the 50 newest reports
ORDINARY, SHORT = NewMeeting(), NewSession()
LATER = ("joinWebUrl", "type")
NEVER = 10_000_000.0  # seconds: until the session is changed
END_LATE, WAITS, MOVES = "end told late", "report in the middle", "report moves over midnight"
# What a run changes in its middle, of the kinds in CHANGING.
CHANGES = {END_LATE: {"revisedAfter": 0.0}, WAITS: {"reportDelay": 0.0}, MOVES: {"reportDelay": 0.0}}


@dataclass(frozen=True)
class Kind:
    """One shape; consecutive `calls` of a meeting are `apart`.

    `when`: on one of the last days, across a midnight of theirs, some seconds past it, or just now; `share` is in per
    cent.
    """

    name: str
    share: float
    expected: str = "stored"
    meeting: NewMeeting | None = ORDINARY
    session: NewSession = SHORT
    calls: int = 1
    apart: timedelta = timedelta()
    when: str = "days"


KINDS = (
    Kind("recurring", 20, meeting=NewMeeting("recurring"), calls=3, apart=timedelta(hours=18)),
    Kind("restarted", 4, calls=2, apart=timedelta(minutes=5)),
    Kind("channel", 8, meeting=NewMeeting("channel")),
    Kind("meet now", 8, meeting=NewMeeting("meetNow")),
    Kind("short link", 7, meeting=NewMeeting("short")),
    Kind("across midnight", 8, when="midnight"),
    Kind("large", 1, session=NewSession(participants=230)),
    Kind("organizer on the phone", 1, session=NewSession(phone_organizer=True)),
    Kind("no report", 2, "noReport", session=NewSession(no_report=True)),
    Kind("peer to peer", 3, "notAMeeting", meeting=None, session=NewSession(type="peerToPeer")),
    Kind("organizer denied", 1, "accessDenied", meeting=NewMeeting(organizer=DENIED_ORGANIZER, denied=True)),
    Kind("organizer elsewhere", 1, "externalOrganizer", meeting=NewMeeting(tenant=FOREIGN_TENANT)),
    Kind("report refused", 1, "notSupported", NewMeeting("channel"), NewSession(report_refused=400)),
    Kind("record late", 3, when="now", session=NewSession(record_delay=10)),
    Kind("report late", 4, when="now", session=NewSession(report_delay=15)),
    Kind("report grows", 2, when="now", session=NewSession(participants=9, grow_after=12)),
    Kind("record revised", 3, when="now", session=NewSession(first_version_lacks=LATER, revised_after=12)),
)
CHANGING = (
    Kind(WAITS, 2, when="now", session=NewSession(report_delay=NEVER)),
    Kind(END_LATE, 2, session=NewSession(first_version_lacks=("endDateTime",), revised_after=NEVER)),
    Kind(MOVES, 1, when="past midnight", session=NewSession(early_report=True, report_delay=NEVER)),
)
COMMON = Kind("scheduled", 0)


@dataclass(frozen=True)
class Call:
    """A call that has ended; `report_id` is that of its report where it has one."""

    kind: str
    expected: str
    call_id: str
    report_id: str
    announced: bool
    is_fresh: bool = False  # it has just ended

    @property
    def signal_id(self) -> str:
        """The id of its signal, which names its outcome."""
        return f"cr-{self.call_id}"


def end_meetings(
    control: Control, count: int, unannounced: float, seed: int, kinds: Sequence[Kind] = KINDS
) -> list[Call]:
    """Have so many calls end, 30 or more; the share `unannounced` is left to be found.

    Graph itself announces none.
    """
    source = Random(seed)
    silent = set(source.sample(range(count), round(count * unannounced)))
    calls = []
    for number, (kind, order) in enumerate(_orders(control, count, source, kinds)):
        made = control.add_session(order)
        is_announced = number not in silent or kind.name in CHANGES
        calls.append(
            Call(
                kind.name,
                kind.expected,
                made.call_id,
                made.report_id,
                is_announced,
                is_fresh=kind.when == "now",
            )
        )
    return calls


def end_late(control: Control, count: int, seed: int) -> list[Call]:
    """Have so many more calls end on the last days, which Graph shows only now."""
    source = Random(seed)
    orders = (order for number in range(count) for order in _ordinary(control, number, source))
    made = map(control.add_session, orders)
    return [
        Call("shown late", COMMON.expected, each.call_id, each.report_id, announced=True) for each in made
    ]


def _ordinary(control: Control, number: int, source: Random) -> Iterator[NewSession]:
    meeting_id = _meeting(control, COMMON, number)
    return (replace(order, meeting_id=meeting_id) for order in _sessions(COMMON, 1, source))


def _orders(
    control: Control, count: int, source: Random, kinds: Sequence[Kind]
) -> Iterator[tuple[Kind, NewSession]]:
    """The calls in order of creation; those that end now come last."""
    numbers = {kind: max(1, round(kind.share * count / 100)) for kind in kinds}
    for kind, number in {COMMON: count - sum(numbers.values()), **numbers}.items():
        for first in range(0, number, kind.calls):
            meeting_id = _meeting(control, kind, first)
            for order in _sessions(kind, min(kind.calls, number - first), source):
                yield kind, replace(order, meeting_id=meeting_id)


def _meeting(control: Control, kind: Kind, number: int) -> str | None:
    if kind.meeting is None:
        return None
    channel = f"{kind.name} {number // CHANNEL_MEETINGS}"
    return control.add_meeting(replace(kind.meeting, channel=channel)).meeting_id


def _sessions(kind: Kind, calls: int, source: Random) -> Iterator[NewSession]:
    """The calls of one meeting, the last one first."""
    if kind.when == "now":
        yield replace(kind.session, announce=False)
        return
    length = timedelta(minutes=source.randint(10, 90))
    end = _end(kind, length, calls, source)
    participants = max(kind.session.participants, source.randint(2, 12))
    for _ in range(calls):
        yield replace(kind.session, start=end - length, end=end, participants=participants, announce=False)
        end -= length + kind.apart


def _end(kind: Kind, length: timedelta, calls: int, source: Random) -> datetime:
    """The end of a meeting's last call."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind.when == "past midnight":  # by less than an early report ends before the call
        return midnight + timedelta(seconds=source.randint(5, 25)) - timedelta(days=source.randint(1, 2))
    if kind.when == "midnight":
        after = length * source.random()
        days = source.randrange(SPREAD.days)
        return midnight + after - timedelta(days=days or int(midnight + after > now))
    return now - source.random() * (SPREAD - (calls - 1) * (length + kind.apart))
