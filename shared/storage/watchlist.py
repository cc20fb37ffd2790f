"""Watched meetings: `watch/<sha256 of the join URL>.json` in the state container.

An operator adds a meeting to subscribe to its call events. A meeting past its `until` is deleted when the list is read.
The organizer is needed to find the meeting: a classic join URL contains the organizer's id, a short one does not.
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
MAX_WATCHED = 5_000


@dataclass(frozen=True)
class WatchedMeeting:
    """A meeting whose call events the app subscribes to."""

    join_url: Annotated[str, "joinWebUrl"]
    organizer_id: str
    until: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether `until` has passed."""
        return self.until is not None and self.until <= now


def build_watched_meeting(
    join_url: str, organizer_id: str | None = None, until: datetime | None = None
) -> WatchedMeeting:
    """Validate what an operator entered. Raises WatchError, which names the problem."""
    if not join_url.startswith("https://") or len(join_url) > MAX_JOIN_URL or not join_url.isprintable():
        raise WatchError("The join URL is not an https address.")
    organizer = organizer_id or parse_join_url(join_url).organizer_id
    if organizer is None:
        raise WatchError("The join URL does not name its organizer: give the organizer's object id.")
    if not GUID.match(organizer):
        raise WatchError("The organizer is not an object id (GUID).")
    return WatchedMeeting(join_url, organizer.lower(), until)


class Watchlist:
    """The watched meetings of one app. Raises azure.core errors."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def add(self, watched: WatchedMeeting) -> None:
        """Add a meeting, or replace it."""
        self._state.put(_path(watched.join_url), codec.encode(watched, full=True))

    def find(self, join_url: str) -> WatchedMeeting | None:
        """Return the watched meeting with this join URL, or None."""
        return self._read(_path(join_url))

    def list_meetings(self, *, tidy: bool = True) -> list[WatchedMeeting]:
        """List the meetings watched now, at most 5,000; with `tidy`, delete expired ones."""
        now, meetings = times.now(), []
        for name in self._state.list_names(FOLDER, MAX_WATCHED):
            watched = self._read(name)
            if watched is None:
                continue
            if not watched.is_over(now):
                meetings.append(watched)
            elif tidy:
                self.remove(watched.join_url)
        return meetings

    def remove(self, join_url: str) -> bool:
        """Remove a meeting. Return whether it was watched."""
        return self._state.remove(_path(join_url))

    def _read(self, name: str) -> WatchedMeeting | None:
        blob = self._state.read(name)
        if blob is None:
            return None
        try:
            stored = codec.decode(WatchedMeeting, blob.content)
            watched = build_watched_meeting(stored.join_url, stored.organizer_id, stored.until)
        except (NotOurMessage, WatchError) as failure:
            logs.warning("watch.unreadable", path=name, error=str(failure))
            return None
        if _path(watched.join_url) != name:
            logs.warning("watch.unreadable", path=name, error="The blob's name does not match its join URL.")
            return None
        return watched


def _path(join_url: str) -> str:
    return f"{FOLDER}{hashlib.sha256(join_url.encode('utf-8', 'backslashreplace')).hexdigest()}.json"
