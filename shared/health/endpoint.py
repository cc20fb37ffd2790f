"""Health endpoint: whether the app archives meetings, as JSON or as a page.

Both forms contain the same with the same status, 200 or 503, within some ten seconds even if a service hangs. The cost
is described in `readings`. Neither contains a token, clientState, join URL, e-mail address or person's name.
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
from ..messages import codec
from ..storage.scans import Scan
from ..subscriptions import status as subscription_status
from . import page, readings
from .diagnosis import HealthReport, diagnose, oldest_pending
from .parallel_reads import ReadFailure
from .readings import Readings

ANSWERS = "answers"
HEADERS = {
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the URL contains the function key
}


@dataclass(frozen=True)
class HealthResponse:
    """The HTTP response of the route."""

    status: int
    text: str
    mimetype: str
    headers: Mapping[str, str]


def respond(environ: Mapping[str, str], accept: str) -> HealthResponse:
    """Return the page if `accept` prefers HTML to JSON, else JSON."""
    result = build_report(environ)
    status = 200 if result.healthy else 503
    if prefers_html(accept):
        headers = {**HEADERS, "Content-Security-Policy": page.POLICY}
        return HealthResponse(status, page.render_page(result), "text/html", headers)
    return HealthResponse(status, json.dumps(health_json(result), indent=2), "application/json", HEADERS)


def build_report(environ: Mapping[str, str]) -> HealthReport:
    """Check everything once; settings, storage and Graph errors never raise."""
    now = times.now()
    values = app_settings.public_values(environ)
    try:
        settings = app_settings.load(environ)
    except SettingError as failure:
        return HealthReport(now, values, wrong_setting=str(failure))
    read = readings.collect(readings.app_sources(settings), now.date())
    return HealthReport(now, values, read, diagnose(read, settings, now))


def health_json(report: HealthReport) -> dict[str, Any]:
    """Return the report as JSON data; docs/operators.md describes its fields."""
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
            "ours": refused.ours and {"last": times.text(refused.ours[0]), "subscription": refused.ours[1]},
        },
        "queues": {
            name: None if isinstance(length, ReadFailure) else length.messages
            for name, length in read.queues.items()
        },
        "waiting": {
            name: None if isinstance(length, ReadFailure) else length.waiting
            for name, length in read.queues.items()
        },
        "oldestPending": times.optional_text(oldest_pending(read)),
        "days": [_day_json(day, manifest) for day, manifest in read.days.items()],
        "denied": None
        if not read.is_state_known
        else {
            "count": denied.count,
            "organizers": [
                {
                    "organizerId": each.id,
                    "since": times.optional_text(each.since),
                    "cure": each.remedy,
                    "retryAt": times.optional_text(each.retry_at),
                }
                for each in denied.organizers
            ],
        },
        "sweep": {"recent": _scan_json(read.recent), "full": _scan_json(read.full)},
        "maintenance": run and {"at": times.text(run.at), "problems": run.problems},
    }


def prefers_html(accept: str) -> bool:
    """Whether an Accept header prefers `text/html` to `application/json`."""
    return _preference(accept, "text/html") > _preference(accept, "application/json")


def _preference(accept: str, media_type: str) -> float:
    """Return the quality, 0 to 1, of the most specific range that matches.

    Source: RFC 9110, 12.5.1.
    """
    ranges = ("*/*", media_type.split("/")[0] + "/*", media_type)
    best = (-1, 0.0)
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        if name in ranges:
            try:
                best = max(best, (ranges.index(name), float(weight)))
            except ValueError:
                continue
    return best[1]


def _checks(read: Readings) -> dict[str, str]:
    answers: dict[str, object] = {f"queue {name}": length for name, length in read.queues.items()}
    answers |= {f"container {name}": failure for name, failure in read.containers.items()}
    return {
        what: f"does not answer: {answer.reason}" if isinstance(answer, ReadFailure) else ANSWERS
        for what, answer in answers.items()
    }


def _day_json(day: date, manifest: Manifest | None) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "known": manifest is not None,
        "complete": manifest is not None and manifest.complete,
        "outcomes": manifest.outcomes if manifest else {},
        "reports": manifest.reports if manifest else 0,
        "delays": codec.encode(manifest.delays) if manifest and manifest.delays else None,
        "unknownProperties": manifest.unknown_properties if manifest else (),
    }


def _scan_json(scan: Scan | None) -> dict[str, Any] | None:
    if scan is None:
        return None
    return {
        "started": times.text(scan.started),
        "finished": times.optional_text(scan.finished),
        "records": scan.records,
        "missing": scan.missing,
        "late": scan.late,
        "error": scan.error,
    }
