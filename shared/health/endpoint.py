"""Health: whether the app archives what it should, for probes as JSON and for people as a page.

Both say the same with the same status, 200 or 503, within some ten seconds whatever hangs. What it costs is in
`readings`. No token, clientState, join URL, e-mail address or person's name is on either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from .. import __version__, times
from .. import settings as app_settings
from ..days.manifests import Manifest
from ..errors import SettingError
from ..storage.scans import Scan
from ..subscriptions import status as subscription_status
from . import page, readings
from .diagnosis import Report, diagnose, oldest_pending
from .parallel_reads import ReadFailure
from .readings import Readings

ANSWERS = "answers"
_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the function key
}


@dataclass(frozen=True)
class Reply:
    """The answer of the route."""

    status: int
    text: str
    mimetype: str
    headers: Mapping[str, str]


def answer(environ: Mapping[str, str], accept: str) -> Reply:
    """The page where the header `accept` prefers HTML to JSON, else JSON."""
    result = report(environ)
    status = 200 if result.healthy else 503
    if prefers_html(accept):
        headers = {**_HEADERS, "Content-Security-Policy": page.POLICY}
        return Reply(status, page.html(result), "text/html", headers)
    return Reply(status, json.dumps(document(result), indent=2), "application/json", _HEADERS)


def report(environ: Mapping[str, str]) -> Report:
    """Look at everything once. Never raises for what is wrong with the settings, storage or Graph."""
    now = times.now()
    shown = app_settings.shown(environ)
    try:
        settings = app_settings.load(environ)
    except SettingError as failure:
        return Report(now, shown, wrong_setting=str(failure))
    read = readings.read(readings.of_app(settings), now.date())
    return Report(now, shown, read, diagnose(read, settings, now))


def document(report: Report) -> dict[str, Any]:
    """The report as JSON has it; its fields are described in docs/operators.md."""
    summary: dict[str, Any] = {
        "healthy": report.healthy,
        "version": __version__,
        "at": times.text(report.at),
        "problems": report.problems,
        "warnings": report.diagnosis.warnings,
    }
    if report.readings is None:
        return {**summary, "problem": report.wrong_setting}
    read, views = report.readings, report.diagnosis.subscriptions
    refused, run, denied = read.refused, read.maintenance, read.denied
    return {
        **summary,
        "settings": report.settings,
        "checks": _checks(read),
        "subscriptions": None if views is None else [subscription_status.view_fields(each) for each in views],
        "lastNotification": times.optional_text(read.last_notification),
        "lastReport": times.optional_text(read.last_report),
        "refused": refused
        and {
            "first": times.optional_text(refused.first),
            "last": times.text(refused.last),
            "count": refused.count,
        },
        "queues": {
            name: None if isinstance(length, ReadFailure) else length for name, length in read.queues.items()
        },
        "oldestPending": times.optional_text(oldest_pending(read)),
        "days": [_day(day, manifest) for day, manifest in read.days.items()],
        "denied": {
            "count": denied.count,
            "organizers": [
                {"organizerId": each.id, "since": times.optional_text(each.since), "cure": each.cure}
                for each in denied.organizers
            ],
        },
        "sweep": {"recent": _look(read.recent), "full": _look(read.full)},
        "maintenance": run and {"at": times.text(run.at), "problems": run.problems},
    }


def prefers_html(accept: str) -> bool:
    """Whether an Accept header wants `text/html` more than `application/json`."""
    return _quality(accept, "text/html") > _quality(accept, "application/json")


def _quality(accept: str, media_type: str) -> float:
    """How much the most specific range that fits wants it, 0 to 1. Source: RFC 9110, 12.5.1."""
    ranges = ("*/*", media_type.split("/")[0] + "/*", media_type)
    found = (-1, 0.0)
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        if name in ranges:
            try:
                found = max(found, (ranges.index(name), float(weight)))
            except ValueError:
                continue
    return found[1]


def _checks(read: Readings) -> dict[str, str]:
    answers = {f"queue {name}": length for name, length in read.queues.items()}
    answers |= {f"container {name}": silence or 0 for name, silence in read.containers.items()}
    return {
        what: f"does not answer: {answer.reason}" if isinstance(answer, ReadFailure) else ANSWERS
        for what, answer in answers.items()
    }


def _day(day: date, manifest: Manifest | None) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "known": manifest is not None,
        "complete": manifest is not None and manifest.complete,
        "outcomes": manifest.outcomes if manifest else {},
        "reports": manifest.reports if manifest else 0,
    }


def _look(look: Scan | None) -> dict[str, Any] | None:
    if look is None:
        return None
    return {
        "started": times.text(look.started),
        "finished": times.optional_text(look.finished),
        "records": look.records,
        "missing": look.missing,
        "error": look.error,
    }
