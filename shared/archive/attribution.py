"""Attribution of a report: the metadata of its blob that name meeting, organizer, link, series and event.

The same report is read on behalf of several signals, and each may know more or less of where it comes from. So facts
are added and never taken away, whatever becomes of the report's body. A channel lists the reports of all its meetings:
one carries no facts until the signal of its own meeting comes. Where two meetings claim a report, the organizer whom
the report itself names decides. Nothing here reads or writes storage.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..graph.join_urls import join_url_key, series_id
from ..graph.reports import ReportLocation

OF_EVENT = ("eventid", "sessionid")
FACTS = ("meetingid", "organizerid", "joinweburl", "joinurlkey", "seriesid", *OF_EVENT)


def attribution(reports: ReportLocation) -> dict[str, str]:
    """Source and facts of a report that lies there; empty where a fact is not known."""
    facts = reports.metadata
    join_url = facts.get("joinweburl")
    return facts | (
        {"joinurlkey": join_url_key(join_url), "seriesid": series_id(join_url)} if join_url else {}
    )


def merge_facts(
    stored: Mapping[str, str], new: Mapping[str, str], organizers: Collection[str]
) -> dict[str, str]:
    """The facts of a stored report once another reading has brought its own; `organizers` are named by the report."""
    known, added = ({name: facts[name] for name in FACTS if facts.get(name)} for facts in (stored, new))
    if _is_other_meeting(known, added):
        is_better = _is_named(added, organizers) and not _is_named(known, organizers)
        return added if is_better else known
    return added | known


def replace_facts(metadata: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """These metadata with these facts and no others."""
    return {name: value for name, value in metadata.items() if name not in FACTS} | dict(facts)


def _is_other_meeting(known: Mapping[str, str], added: Mapping[str, str]) -> bool:
    """Whether both name a meeting, and not the same one. An event's session and its meeting are one."""
    if any(name in facts for facts in (known, added) for name in OF_EVENT):
        return False
    for name in ("joinurlkey", "meetingid"):
        if name in known and name in added:
            return known[name] != added[name]
    return False


def _is_named(facts: Mapping[str, str], organizers: Collection[str]) -> bool:
    return facts.get("organizerid", "").lower() in organizers
