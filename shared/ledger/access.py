"""Organizers whose reports Graph refuses: `access/<organizerId>.json` for each.

Graph does not tell when an access policy is granted. The daily scan therefore retries one denied meeting per organizer;
the first success reopens all the others. If Graph refuses the call records themselves, the blob is named
`call-records`; if it does not return a virtual event's organizer, `virtual-events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from .. import logs, times
from ..limits import Debounce
from ..messages import tasks
from ..messages.signals import SignalKind, kind_of
from ..messages.tasks import Redrive, Task
from ..storage.clients import Queue
from ..storage.names import encode_name_part
from ..storage.state import StateStore
from .record import Result

DENIED = "access/"
OPENED = "opened/"
RETRY_AT = "retryAt"  # of a refusal that is not settled yet
CALL_RECORDS = "call-records"  # in place of an organizer: all of them
VIRTUAL_EVENTS = "virtual-events"  # in place of an organizer that Graph does not return
MOST = 5_000
REACH = timedelta(days=31)  # call records are kept 30 days

_GRANT_CALL_RECORDS = "Grant the application permission CallRecords.Read.All to the app's identity."
_GRANT_EVENTS = (
    "Grant VirtualEvent.Read.All and OnlineMeetingArtifact.Read.All to the app's identity, and an application access "
    "policy for it ({client}) to all who organize webinars and town halls."
)
_GRANT_POLICY = (
    "Grant OnlineMeetings.Read.All and OnlineMeetingArtifact.Read.All to the app's identity, and an application "
    "access policy to the organizer: {commands}"
)


def refused_organizer(signal_id: str, organizer_id: str | None) -> str | None:
    """Return the organizer whom Graph refuses, or `virtual-events` if unknown."""
    if organizer_id is None and kind_of(signal_id) is SignalKind.REPORT_READY:
        return VIRTUAL_EVENTS
    return organizer_id


def remedy(organizer_id: str | None, client_id: str) -> str:
    """Return the sentence that tells an administrator how to grant access."""
    if organizer_id is None:
        return _GRANT_CALL_RECORDS
    if organizer_id == VIRTUAL_EVENTS:
        return _GRANT_EVENTS.format(client=client_id or "<client id>")
    return _GRANT_POLICY.format(commands="; ".join(policy_commands(organizer_id, client_id)))


def policy_commands(organizer_id: str, client_id: str) -> tuple[str, str]:
    """Return the PowerShell commands that grant an organizer the access policy."""
    return (
        f"New-CsApplicationAccessPolicy -Identity AttendanceReports -AppIds {client_id or '<client id>'}",
        f"Grant-CsApplicationAccessPolicy -PolicyName AttendanceReports -Identity {organizer_id}",
    )


class AccessRegister:
    """Organizers without access; `pause` is the time to gather restorations, in s."""

    def __init__(self, state: StateStore, upkeep: Queue, client_id: str, pause: int) -> None:
        self._state = state
        self._upkeep = upkeep
        self._client_id = client_id
        self._pause = pause
        self._asked = Debounce(pause)

    def mark_denied(self, organizer_id: str | None, signal_id: str, retry_at: datetime | None = None) -> None:
        """Record that Graph refused access; `signal_id` is the signal to retry.

        With `retry_at`, when it is asked once more, because a new policy takes half an hour: until then nothing is
        decided. A refusal that is settled replaces one that is not.
        """
        advice, name = remedy(organizer_id, self._client_id), _path(DENIED, blob_key(organizer_id))
        fields = {
            "organizerId": organizer_id,
            "since": times.text(times.now()),
            "cure": advice,
            "signal": signal_id,
        }
        if retry_at:
            self._state.write(name, fields | {RETRY_AT: times.text(retry_at)}, None)
            return
        is_new = self._state.write(name, fields, None)
        if not is_new and (denied := self._state.read(name)) and RETRY_AT in denied.content:
            is_new = self._state.write(name, fields | {"since": denied.content.get("since")}, denied)
        if is_new:
            logs.error("access.denied", organizer=organizer_id, cure=advice)

    def mark_restored(self, organizer_id: str | None) -> None:
        """Record that Graph no longer refuses, and reopen what was denied."""
        denied = self._state.read(_path(DENIED, blob_key(organizer_id)))
        if denied is None:
            return
        if RETRY_AT in denied.content:  # nothing has settled as denied
            self._state.remove(_path(DENIED, blob_key(organizer_id)), denied)
            return
        restored = {"at": times.text(times.now()), "since": denied.content.get("since")}
        self._state.put(_path(OPENED, blob_key(organizer_id)), restored)
        self.reopen()
        self._state.remove(_path(DENIED, blob_key(organizer_id)))
        logs.info("access.opened", organizer=organizer_id)

    def reopen(self) -> None:
        """Queue one pass over the outcomes of all restored organizers.

        It starts after the pause and includes those restored by then.
        """
        if self._asked.allows(OPENED):
            today = times.now().date()  # the pass sets its first day when it begins
            job = Redrive(frozenset({Result.ACCESS_DENIED}), today, today, opened=True)
            self._upkeep.send(tasks.serialize_task(Task(job)), self._pause)

    def restored_organizers(self) -> set[str]:
        """Return the blob keys of organizers whose outcomes are still to be reopened."""
        return {name[len(OPENED) : -len(".json")] for name in self._state.list_names(OPENED, MOST)}

    def first_denied_day(self, keys: set[str]) -> date:
        """Return the first day on which an outcome of these may have been denied."""
        starts = [times.now()]
        for each in keys:
            entry = self._state.read(_path(OPENED, each))
            starts.append((entry and times.possible(entry.content.get("since"))) or times.now())
        return min(starts).date() - REACH

    def finish_reopening(self, keys: set[str], before: str) -> None:
        """Remove the organizers that were restored before a finished pass began."""
        for each in keys:
            entry = self._state.read(_path(OPENED, each))
            if entry and entry.content.get("at", "") < before:
                self._state.remove(_path(OPENED, each))

    def denied_signals(self) -> Iterator[tuple[str | None, str]]:
        """Yield each denied organizer with one of the denied signals."""
        for name in self._state.list_names(DENIED, MOST):
            entry = self._state.read(name)
            if entry:
                yield entry.content.get("organizerId"), str(entry.content.get("signal", ""))

    def forget(self, organizer_id: str | None) -> None:
        """Remove the record of a denied organizer; a new refusal adds it again."""
        self._state.remove(_path(DENIED, blob_key(organizer_id)))


def blob_key(organizer_id: str | None) -> str:
    """Return an organizer's key in blob names and in `restored_organizers`."""
    return encode_name_part(organizer_id or CALL_RECORDS)


def _path(prefix: str, key: str) -> str:
    return f"{prefix}{key}.json"
