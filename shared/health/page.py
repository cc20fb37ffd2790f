"""Health page for people: plain HTML and CSS, for phones and desktops.

It contains what the JSON contains and a search for a meeting, loads nothing and runs no script. Problems come first,
with their remedies, then the figures.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from xml.etree.ElementTree import Element

from .. import __version__
from ..days.delays import Percentiles
from ..days.manifests import Manifest
from ..storage.clients import SIGNALS_QUEUE
from ..storage.scans import Scan
from ..subscriptions.status import SubscriptionStatus, SubscriptionView
from ..times import format_duration, format_utc
from . import findings
from .diagnosis import HealthReport, format_count, oldest_pending
from .html import FONT_STACK, element, render, section, table
from .lookup import ONE_DAY, REACH
from .parallel_reads import ReadFailure
from .readings import MOST_PEEKED, QueueLength, Readings

SEARCHED = "meeting"  # the field of the search
LONGEST_SEARCH = 4_000  # characters
SEARCH_HINT = f"The last {REACH} days are searched. By subject, organizer or day: attendance explain."
NONE_YET, UNKNOWN = "none yet", "unknown"
UNREADABLE = "Unknown: it could not be read."
RANKS = "50 / 95 / 99 %"
FEW = 5  # denied organizers that are shown unfolded
_TALLEST = 100  # of a bar
_SHORTEST = 4  # so that a day with few signals stays visible

_STATES = {"complete": ("✓", "complete"), "open": ("…", "open"), "unknown": ("?", "unknown")}
_STATUSES = {
    SubscriptionStatus.ACTIVE: "active",
    SubscriptionStatus.RENEWAL_OVERDUE: "renewal overdue",
    SubscriptionStatus.EXPIRED: "expired",
    SubscriptionStatus.NOT_ACCEPTED: "not accepted",
    SubscriptionStatus.ELSEWHERE: "at another address",
    SubscriptionStatus.FORMER_DELIVERY: "delivers in the former way",
    SubscriptionStatus.MISSING: "missing",
    SubscriptionStatus.UNWANTED: "not asked for",
}


def render_page(report: HealthReport) -> str:
    """Return the page as HTML."""
    title = _headline(report)
    return render_document(title, *_body(report, title))


def render_document(title: str, *body: Element) -> str:
    """Return a document of this title with the page's style sheet."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - attendance reports"),
        element("style", _SHEET),
    )
    return render(element("html", head, element("body", *body), lang="en"))


def build_search() -> Element:
    """Build the form that searches for a meeting; its answer is made in `search`."""
    field = element(
        "input",
        id="meeting",
        name=SEARCHED,
        type="text",
        required="required",
        maxlength=str(LONGEST_SEARCH),
        autocomplete="off",
        spellcheck="false",
        aria_describedby="accepted",
    )
    row = element("div", field, element("button", "Search", type="submit"), class_="row")
    return section(
        "Search for a meeting",
        element(
            "form",
            element("label", "Its link, or the id of its signal, call or report", for_="meeting"),
            row,
            element("p", SEARCH_HINT, id="accepted", class_="soft"),
            method="post",
        ),
    )


def _headline(report: HealthReport) -> str:
    if not report.healthy:
        return f"Needs attention: {_pluralize(len(report.problems), 'problem')}"
    warnings = len(report.diagnosis.warnings)
    return f"Healthy, with {_pluralize(warnings, 'warning')}" if warnings else "Healthy"


def _body(report: HealthReport, title: str) -> Iterator[Element]:
    yield element(
        "header",
        element("h1", title),
        element("p", f"Attendance reports, as of {format_utc(report.at)}"),
        class_="" if report.healthy else "bad",
    )
    sections = [
        *_sentences("Problems", report.problems, "list bad"),
        *_sentences("Warnings", report.diagnosis.warnings, "list"),
        *(_sections(report.readings, report) if report.readings else ()),
    ]
    yield element("main", *sections)
    yield element(
        "footer",
        f"Version {__version__}. All times are UTC. The header Accept: application/json returns this as JSON.",
    )


def _sections(readings: Readings, report: HealthReport) -> Iterator[Element]:
    yield section("Now", _figures(readings, report.at))
    yield section("Last 14 days", *_days(readings))
    yield build_search()
    yield section("Subscriptions", _subscriptions(report.diagnosis.subscriptions))
    yield section("Queues", _queues(readings))
    yield section("Organizers without access", *_denied(readings))
    yield section("Reconciliation", *_sweep(readings))
    rows = [(name, failure.reason if failure else "answers") for name, failure in readings.containers.items()]
    rows += [(name, value or "-") for name, value in report.settings.items()]
    details = table(("Container or setting", "State or value"), rows)
    yield section(
        "Storage and settings", element("details", element("summary", "Show storage and settings"), details)
    )


def _sentences(heading: str, sentences: Sequence[str], class_: str) -> Iterator[Element]:
    if sentences:
        items = [element("li", sentence) for sentence in sentences]
        yield section(heading, element("ul", *items, class_=class_))


def _figures(readings: Readings, now: datetime) -> Element:
    refused, run = readings.refused, readings.maintenance
    length = readings.queues[SIGNALS_QUEUE]
    never, none = (NONE_YET, "none") if readings.is_state_known else (UNKNOWN, UNKNOWN)
    figures = {
        "Last notification": _ago(readings.last_notification, now, never),
        "Last stored report": _ago(readings.last_report, now, never),
        "Oldest pending signal": _ago(
            oldest_pending(readings), now, "none" if readings.is_data_known else UNKNOWN
        ),
        "Yesterday's delay": format_delay(now.date() - ONE_DAY, readings.days, none),
        "Messages": format_length(length),
        "Wrong client states": f"{refused.count:,}, last {_ago(refused.last, now)}" if refused else none,
        "Subscriptions last maintained": _ago(run.at if run else None, now, never),
    }
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in figures.items()]
    return element("dl", *pairs)


def _days(readings: Readings) -> Iterator[Element]:
    days = readings.days
    most = max((_signals(manifest) for manifest in days.values()), default=0)
    yield element("ol", *[_bar(day, manifest, most) for day, manifest in days.items()], class_="days")
    yield element(
        "p",
        "One bar per day, the latest on the right; its height is the number of signals. ✓ complete, … open (as the "
        "latest days always are), ? unknown: no manifest yet.",
        class_="soft",
    )
    rows = [
        (
            day.isoformat(),
            _STATES[_state(manifest)][1],
            f"{manifest.reports:,}" if manifest else "-",
            _tally(manifest),
        )
        for day, manifest in reversed(list(days.items()))
    ]
    numbers = table(("Date", "State", "Reports", "Signals and their outcomes"), rows, numbers=(2,))
    yield element("details", element("summary", "Show the numbers"), numbers)
    yield from _delays(days)


def _delays(days: Mapping[date, Manifest | None]) -> Iterator[Element]:
    """Yield how late the reports of these days were, if any is stored."""
    known = [(day, each.delays) for day, each in reversed(list(days.items())) if each and each.delays]
    if not known:
        return
    rows = [
        (
            day.isoformat(),
            f"{delays.signals:,}",
            format_percentiles(delays.end_to_first_seen),
            format_percentiles(delays.first_seen_to_stored),
            format_percentiles(delays.end_to_stored),
        )
        for day, delays in known
    ]
    heads = ("Date", "Signals", "End to first seen", "First seen to stored", "End to stored")
    yield element(
        "details",
        element("summary", "Show how late the reports were"),
        element(
            "p", f"Time within which it was done for {RANKS} of the signals with a report.", class_="soft"
        ),
        table(heads, rows, numbers=(1,)),
    )


def format_percentiles(delay: Percentiles) -> str:
    """Format the times of 50, 95 and 99 of 100 signals."""
    return " / ".join(map(format_duration, (delay.p50, delay.p95, delay.p99)))


def format_delay(day: date, days: Mapping[date, Manifest | None], otherwise: str) -> str:
    """Format how late the reports of a day were."""
    manifest = days.get(day)
    if manifest is None or manifest.delays is None:
        return otherwise
    return f"{format_percentiles(manifest.delays.end_to_stored)} after the end ({RANKS})"


def _bar(day: date, manifest: Manifest | None, most: int) -> Element:
    state, signals = _state(manifest), _signals(manifest)
    height = max(_SHORTEST, round(_TALLEST * signals / most)) if most else _SHORTEST
    mark, word = _STATES[state]
    title = f"{day.isoformat()}: {word}"
    if manifest:
        title += f", {_pluralize(signals, 'signal')}, {_pluralize(manifest.reports, 'report')}"
    bar = element(
        "svg",
        element("title", title),
        element("rect", x="0", y=str(_TALLEST - height), width="10", height=str(height)),
        role="img",
        viewBox=f"0 0 10 {_TALLEST}",
        preserveAspectRatio="none",
    )
    below = element("span", element("b", mark), str(day.day), aria_hidden="true")
    return element("li", bar, below, class_=state)


def _state(manifest: Manifest | None) -> str:
    if manifest is None:
        return "unknown"
    return "complete" if manifest.complete else "open"


def _signals(manifest: Manifest | None) -> int:
    return sum(manifest.outcomes.values()) if manifest else 0


def _tally(manifest: Manifest | None) -> str:
    if manifest is None:
        return "-"
    counts = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(manifest.outcomes.items()))
    return f"{_signals(manifest):,}: {counts}" if counts else "0"


def _subscriptions(views: Sequence[SubscriptionView] | None) -> Element:
    if views is None:
        return element("p", UNREADABLE)
    if not views:
        return element("p", "None.")
    rows = [
        (each.resource, _STATUSES[each.status], format_utc(each.expires) if each.expires else "-")
        for each in views
    ]
    return table(("Resource", "State", "Expires"), rows)


def _queues(readings: Readings) -> Element:
    rows = [(name, format_length(length)) for name, length in readings.queues.items()]
    return table(("Queue", "Messages"), rows)


def format_length(length: QueueLength | ReadFailure) -> str:
    """Format the length of a queue.

    What waits, and what is delayed, which is no backlog.
    """
    if isinstance(length, ReadFailure):
        return f"{UNKNOWN} ({length.reason})"
    if length.waiting >= MOST_PEEKED:
        return f"some {length.messages:,}, of which {MOST_PEEKED} or more wait"
    delayed = f", some {length.delayed:,} delayed or in progress" if length.delayed else ""
    return f"{length.waiting:,} waiting{delayed}"


def _denied(readings: Readings) -> Iterator[Element]:
    denied = readings.denied
    if not readings.is_state_known:
        yield element("p", UNREADABLE)
        return
    if not denied.count:
        yield element("p", "None.")
        return
    rows = [
        (
            f"{each.id or 'Call records of the whole tenant'}, since {format_utc(each.since)}",
            findings.organizer_denied(each.id, each.since, each.remedy, each.retry_at).text,
        )
        for each in denied.organizers
    ]
    organizers = table(("Organizer (object id)", "Remedy"), rows)
    if denied.count <= FEW:
        yield organizers
        return
    yield element("p", f"{format_count(denied.count)} organizers.")
    yield element("details", element("summary", f"Show {len(rows)}, with remedies"), organizers)


def _sweep(readings: Readings) -> Iterator[Element]:
    scans = {"Last hours": readings.recent, "All open days": readings.full}
    none = NONE_YET if readings.is_state_known else UNKNOWN
    rows = [(name, *_scan_row(scan, none)) for name, scan in scans.items()]
    yield table(("Scan", "Finished", "Call records", "Missing"), rows, numbers=(2, 3))
    for name, scan in scans.items():
        if scan and scan.late:
            yield element("p", f"{name}: {_pluralize(scan.late, 'overdue signal')} reopened")
        if scan and scan.error:
            yield element("p", f"{name}: {scan.error}")


def _scan_row(scan: Scan | None, none: str) -> tuple[str, str, str]:
    if scan is None:
        return none, "-", "-"
    state = format_utc(scan.finished) if scan.finished else f"running since {format_utc(scan.started)}"
    return state, f"{scan.records:,}", f"{scan.missing:,}"


def _ago(when: datetime | None, now: datetime, otherwise: str = NONE_YET) -> str:
    if when is None:
        return otherwise
    minutes = max(0, int((now - when).total_seconds() // 60))
    if minutes == 0:
        return f"{format_utc(when)} (just now)"
    if minutes < 120:
        age = f"{minutes} min"
    elif minutes < 2 * 24 * 60:
        age = f"{minutes // 60} h"
    else:
        age = f"{minutes // (24 * 60)} days"
    return f"{format_utc(when)} ({age} ago)"


def _pluralize(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# The style sheet, and the policy that allows a browser this sheet (by its hash) and nothing else.
_SHEET = """
:root { color-scheme: light dark;
  --page: #fff; --panel: #f4f6f8; --text: #1c2126; --soft: #545d68; --line: #ced5dc;
  --good: #146c34; --bad: #b3261e; --warn: #7d5200; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14181d; --panel: #1d232a; --text: #e4e8ec; --soft: #a5afba; --line: #3a434d;
  --good: #57c785; --bad: #ff8f85; --warn: #e3b04b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 FONTS; overflow-wrap: anywhere; }
header { border-left: .4rem solid; padding: .25rem 0 .25rem 1rem; color: var(--good); }
header.bad { color: var(--bad); }
h1 { margin: 0; font-size: 1.4rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .5rem 0; }
header p, .soft, dt, footer { color: var(--soft); font-size: .875rem; }
.list { margin: 0; padding: 0; list-style: none; }
.list li { margin: .5rem 0; padding: .6rem .8rem; background: var(--panel); border-left: .25rem solid var(--warn); }
.list.bad li { border-color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem 1.5rem; margin: 0; }
dd { margin: 0; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal; }
thead th { color: var(--soft); font-size: .875rem; font-weight: 600; }
tbody th { min-width: 7rem; font-weight: 400; }
tbody th, td:last-child { overflow-wrap: anywhere; }
th.number, td.number { width: 1%; text-align: right; overflow-wrap: normal; font-variant-numeric: tabular-nums; }
th:last-child, td:last-child { padding-right: 0; }
@media (max-width: 30rem) { tbody th, td { font-size: .875rem; } }
summary { cursor: pointer; padding: .4rem 0; }
.days { display: grid; grid-template-columns: repeat(14, 1fr); gap: .2rem; margin: 0; padding: 0; list-style: none; }
.days li { min-width: 0; text-align: center; font-size: .8rem; line-height: 1.35; }
.days svg { display: block; width: 100%; height: 6rem; border-bottom: 1px solid var(--line); }
rect { vector-effect: non-scaling-stroke; stroke-width: 1.5; }
.complete rect { fill: var(--good); stroke: var(--good); }
.open rect { fill: var(--panel); stroke: var(--warn); }
.unknown rect { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
.days b { display: block; }
.complete b { color: var(--good); }
.open b { color: var(--warn); }
.unknown b { color: var(--soft); }
.row { display: flex; gap: .5rem; margin: .25rem 0; }
input, button { padding: .4rem .6rem; border: 1px solid var(--soft); border-radius: .25rem; background: var(--panel);
  color: var(--text); font: inherit; }
input { flex: 1; min-width: 0; }
button { cursor: pointer; }
a { color: inherit; }
:focus-visible { outline: .15rem solid; outline-offset: .15rem; }
code { overflow-wrap: anywhere; }
footer { margin-top: 2rem; }
""".replace("FONTS", f"system-ui, {FONT_STACK}")
_HASH = base64.b64encode(hashlib.sha256(_SHEET.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
