"""The meetings whose call events are asked for: `watch/<sha256 of the join URL>.json` in the state container.

An operator puts them there; one whose `until` has passed is left out and deleted when it is next met. The organizer is
needed to find the meeting: a classic join URL names him, a short one does not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from .. import logs, times
from ..errors import NotOurMessage, WatchError
from ..graph.join_urls import parse_join_url
from ..messages import codec
from ..messages.signals import MAX_JOIN_URL
from ..settings import GUID
from .state import StateStore

FOLDER = "watch/"
MOST = 5_000


@dataclass(frozen=True)
class WatchedMeeting:
    """A meeting whose end is to be told at once."""

    join_url: Annotated[str, "joinWebUrl"]
    organizer_id: str
    until: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it is not asked for any more."""
        return self.until is not None and self.until <= now


def build_watched_meeting(
    join_url: str, organizer_id: str | None = None, until: datetime | None = None
) -> WatchedMeeting:
    """What an operator asks for. Raises WatchError, which says what is wrong with it."""
    if not join_url.startswith("https://") or len(join_url) > MAX_JOIN_URL or not join_url.isprintable():
        raise WatchError("The join URL is not an https address.")
    organizer = organizer_id or parse_join_url(join_url).organizer_id
    if organizer is None:
        raise WatchError("The join URL does not name its organizer: give the organizer's object id.")
    if not GUID.match(organizer):
        raise WatchError("The organizer is not an object id (GUID).")
    return WatchedMeeting(join_url, organizer.lower(), until)


class Watchlist:
    """The watched meetings of one app. Raises azure.core errors when storage does not answer."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def add(self, watched: WatchedMeeting) -> None:
        """Watch a meeting, or change how it is watched."""
        self._state.put(_path(watched.join_url), codec.encode(watched, full=True))

    def find(self, join_url: str) -> WatchedMeeting | None:
        """The meeting with this join URL, if it is watched."""
        return self._read(_path(join_url))

    def list_meetings(self, *, tidy: bool = True) -> list[WatchedMeeting]:
        """The meetings that are watched now, at most 5,000; with `tidy` what is over is deleted."""
        now, found = times.now(), []
        for name in self._state.list_names(FOLDER, MOST):
            watched = self._read(name)
            if watched is None:
                continue
            if not watched.is_over(now):
                found.append(watched)
            elif tidy:
                self.remove(watched.join_url)
        return found

    def remove(self, join_url: str) -> bool:
        """Watch a meeting no more. Whether it was watched."""
        return self._state.remove(_path(join_url))

    def _read(self, name: str) -> WatchedMeeting | None:
        entry = self._state.read(name)
        if entry is None:
            return None
        try:
            found = codec.decode(WatchedMeeting, entry.content)
            watched = build_watched_meeting(found.join_url, found.organizer_id, found.until)
        except (NotOurMessage, WatchError) as failure:
            logs.warning("watch.unreadable", path=name, error=str(failure))
            return None
        if _path(watched.join_url) != name:
            logs.warning("watch.unreadable", path=name, error="The name is not that of its join URL.")
            return None
        return watched


def _path(join_url: str) -> str:
    return f"{FOLDER}{hashlib.sha256(join_url.encode('utf-8', 'backslashreplace')).hexdigest()}.json"
