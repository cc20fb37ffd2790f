"""Blob metadata that link a report to its meeting, organizer, series and event.

Several signals can read the same report, and each knows some of these facts. So facts are added and never removed,
even if the stored body stays as it is. A channel lists the reports of all its meetings: a report has no facts until its
own meeting's signal is handled. If two meetings claim a report, the organizer in the report decides. Of the lists of
invitees the newest counts. No I/O here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..graph.join_urls import join_url_key, series_id
from ..graph.reports import MeetingReports, ReportLocation

OF_EVENT = ("eventid", "sessionid")
INVITEES_SHA256, INVITEES_STATE, INVITEES_COUNT = OF_INVITEES = (
    "inviteessha256",
    "inviteesstate",
    "invitees",
)
FACTS = (
    "meetingid",
    "organizerid",
    "joinweburl",
    "joinurlkey",
    "seriesid",
    "details",
    *OF_EVENT,
    *OF_INVITEES,
)


def attribution(reports: ReportLocation) -> dict[str, str]:
    """Return the source and the known facts of a report at this location."""
    facts = reports.metadata
    join_url = facts.get("joinweburl")
    return facts | (
        {"joinurlkey": join_url_key(join_url), "seriesid": series_id(join_url)} if join_url else {}
    )


def merge_facts(
    stored: Mapping[str, str], new: Mapping[str, str], organizers: Collection[str]
) -> dict[str, str]:
    """Merge the facts of a stored report with those of a new reading.

    `organizers` are the ids of the organizers in the report.
    """
    known, added = ({name: facts[name] for name in FACTS if facts.get(name)} for facts in (stored, new))
    if _is_other_meeting(known, added):
        is_better = _is_named(added, organizers) and not _is_named(known, organizers)
        return added if is_better else known
    return added | known | _merge_invitees(stored, new)


def replace_facts(metadata: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata with exactly these facts."""
    return {name: value for name, value in metadata.items() if name not in FACTS} | dict(facts)


def without_invitees(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata without the list of invitees, which is another blob's."""
    return {name: value for name, value in metadata.items() if name not in OF_INVITEES}


def _merge_invitees(stored: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The newest list of invitees.

    A list counts rather than none, and an event's rather than that of the meeting behind its session.
    """
    before, now = ({name: facts[name] for name in OF_INVITEES if facts.get(name)} for facts in (stored, new))
    if (source := stored.get("source")) and source != new.get("source"):
        return (now or before) if source == MeetingReports.source else (before or now)
    return now if INVITEES_SHA256 in now or INVITEES_SHA256 not in before else before


def _is_other_meeting(known: Mapping[str, str], added: Mapping[str, str]) -> bool:
    """Tell whether these facts are of two different meetings.

    An event's session and its meeting count as one.
    """
    if any(name in facts for facts in (known, added) for name in OF_EVENT):
        return False
    for name in ("joinurlkey", "meetingid"):
        if name in known and name in added:
            return known[name] != added[name]
    return False


def _is_named(facts: Mapping[str, str], organizers: Collection[str]) -> bool:
    return facts.get("organizerid", "").lower() in organizers
