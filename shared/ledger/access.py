"""Organizers whose reports Graph refuses, and the cure; a blob each, `access/<organizerId>.json`.

A policy that is granted later announces nothing. So once a day the sweep tries one meeting of each organizer again, and
the first attempt that Graph does not refuse opens the organizer: all that was denied is taken up again. Where Graph
refuses the call records themselves, the name is `call-records`; where it does not even tell who organizes a virtual
event, `virtual-events`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date, timedelta

from .. import logs, times
from ..limits import Debounce
from ..messages import tasks
from ..messages.signals import Kind, kind_of
from ..messages.tasks import Redrive, Task
from ..storage.clients import Queue
from ..storage.names import name_part
from ..storage.state import State
from .record import Result

DENIED = "access/"
OPENED = "opened/"
CALL_RECORDS = "call-records"  # stands for all organizers
VIRTUAL_EVENTS = "virtual-events"  # stands for an organizer whom Graph does not tell
MOST = 5_000
REACH = timedelta(days=31)  # call records are kept 30 days

_GRANT_CALL_RECORDS = "Grant the application permission CallRecords.Read.All to the app's identity."
_GRANT_EVENTS = (
    "Grant VirtualEvent.Read.All and OnlineMeetingArtifact.Read.All to the app's identity, and an application access "
    "policy for it ({client}) to all who organize webinars and town halls."
)
_GRANT_POLICY = (
    "Grant OnlineMeetings.Read.All and OnlineMeetingArtifact.Read.All to the app's identity, and an application "
    "access policy to the organizer: New-CsApplicationAccessPolicy -Identity AttendanceReports -AppIds {client}; "
    "Grant-CsApplicationAccessPolicy -PolicyName AttendanceReports -Identity {organizer}"
)


def refused_organizer(signal_id: str, organizer_id: str | None) -> str | None:
    """Who has no access where Graph refuses a signal: its organizer, or what stands for one who is not known."""
    if organizer_id is None and kind_of(signal_id) is Kind.REPORT_READY:
        return VIRTUAL_EVENTS
    return organizer_id


def remedy(organizer_id: str | None, client_id: str) -> str:
    """The sentence that says how access is given."""
    if organizer_id is None:
        return _GRANT_CALL_RECORDS
    if organizer_id == VIRTUAL_EVENTS:
        return _GRANT_EVENTS.format(client=client_id or "<client id>")
    return _GRANT_POLICY.format(client=client_id or "<client id>", organizer=organizer_id)


class AccessRegister:
    """What is known of organizers without access. `pause` is how long openings are gathered, in seconds."""

    def __init__(self, state: State, upkeep: Queue, client_id: str, pause: int) -> None:
        self._state = state
        self._upkeep = upkeep
        self._client_id = client_id
        self._pause = pause
        self._asked = Debounce(pause)

    def mark_denied(self, organizer_id: str | None, signal_id: str) -> None:
        """Graph refused; `signal_id` is the signal to try it with again."""
        advice = remedy(organizer_id, self._client_id)
        fields = {"organizerId": organizer_id, "since": times.text(times.now()), "cure": advice}
        if self._state.write(_path(DENIED, blob_key(organizer_id)), {**fields, "signal": signal_id}, None):
            logs.error("access.denied", organizer=organizer_id, cure=advice)

    def mark_restored(self, organizer_id: str | None) -> None:
        """Graph no longer refuses: have all that was denied taken up again."""
        denied = self._state.read(_path(DENIED, blob_key(organizer_id)))
        if denied is None:
            return
        restored = {"at": times.text(times.now()), "since": denied.content.get("since")}
        self._state.put(_path(OPENED, blob_key(organizer_id)), restored)
        self.reopen()
        self._state.remove(_path(DENIED, blob_key(organizer_id)))
        logs.info("access.opened", organizer=organizer_id)

    def reopen(self) -> None:
        """Ask for one pass over the outcomes for all that have opened, and those that will in the next moments."""
        if self._asked.allows(OPENED):
            today = times.now().date()  # where the pass begins is known when it does
            job = Redrive(frozenset({Result.ACCESS_DENIED}), today, today, opened=True)
            self._upkeep.send(tasks.message(Task(job)), self._pause)

    def restored_organizers(self) -> set[str]:
        """Those whose denied outcomes are still to be taken up again, as keys: see `key`."""
        return {name[len(OPENED) : -len(".json")] for name in self._state.names(OPENED, MOST)}

    def first_denied_day(self, keys: set[str]) -> date:
        """The first day on which an outcome of these organizers may have been denied."""
        starts = [times.now()]
        for each in keys:
            entry = self._state.read(_path(OPENED, each))
            with contextlib.suppress(ValueError):
                starts.append((entry and times.parse(entry.content.get("since"))) or times.now())
        return min(starts).date() - REACH

    def finish_reopening(self, keys: set[str], before: str) -> None:
        """A pass that began at the time `before` is done: forget those that had opened by then."""
        for each in keys:
            entry = self._state.read(_path(OPENED, each))
            if entry and entry.content.get("at", "") < before:
                self._state.remove(_path(OPENED, each))

    def denied_signals(self) -> Iterator[tuple[str | None, str]]:
        """For each organizer a signal that was denied."""
        for name in self._state.names(DENIED, MOST):
            entry = self._state.read(name)
            if entry:
                yield entry.content.get("organizerId"), str(entry.content.get("signal", ""))

    def forget(self, organizer_id: str | None) -> None:
        """Nothing of this organizer is known to be denied; what is will put him down again."""
        self._state.remove(_path(DENIED, blob_key(organizer_id)))


def blob_key(organizer_id: str | None) -> str:
    """How an organizer appears in names of blobs, and in `restored_organizers`."""
    return name_part(organizer_id or CALL_RECORDS)


def _path(prefix: str, key: str) -> str:
    return f"{prefix}{blob_key}.json"
