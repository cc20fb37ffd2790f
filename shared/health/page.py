"""The health page: plain HTML and CSS for people, on a phone as on a desk, in light and dark.

It says what the JSON says, loads nothing and runs nothing. Problems come first, with their cures, then the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from xml.etree.ElementTree import Element

from .. import __version__
from ..days.manifests import Manifest
from ..storage.clients import SIGNALS_QUEUE
from ..storage.scans import Look
from ..subscriptions.status import Standing, Watched
from ..times import shown
from . import html as elements
from . import style
from .diagnosis import Report, at_most, oldest_pending
from .html import element, section, table
from .parallel_reads import Silence
from .readings import Denied, Vitals

NONE_YET = "none yet"
FEW = 5  # organizers that are shown without being asked for
_TALLEST = 100  # of a bar
_SHORTEST = 4  # so that a day with few signals is seen beside one with many

_STATES = {"complete": ("✓", "complete"), "open": ("…", "open"), "unknown": ("?", "not known")}
_STANDINGS = {
    Standing.ACTIVE: "active",
    Standing.RENEWAL_OVERDUE: "renewal overdue",
    Standing.EXPIRED: "expired",
    Standing.NOT_ACCEPTED: "not accepted",
    Standing.ELSEWHERE: "at another address",
    Standing.MISSING: "missing",
    Standing.UNWANTED: "not asked for",
}


def html(report: Report) -> str:
    """The whole page."""
    title = _headline(report)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - attendance reports"),
        element("style", style.SHEET),
    )
    page = element("html", head, element("body", *_body(report, title)), lang="en")
    return elements.text(page)


def _headline(report: Report) -> str:
    if not report.healthy:
        return f"Needs attention: {_counted(len(report.problems), 'problem')}"
    warnings = len(report.diagnosis.warnings)
    return f"Healthy, with {_counted(warnings, 'warning')}" if warnings else "Healthy"


def _body(report: Report, title: str) -> Iterator[Element]:
    yield element(
        "header",
        element("h1", title),
        element("p", f"Attendance reports, as of {shown(report.at)}"),
        class_="" if report.healthy else "bad",
    )
    sections = [
        *_sentences("Problems", report.problems, "list bad"),
        *_sentences("Warnings", report.diagnosis.warnings, "list"),
        *(_sections(report.vitals, report) if report.vitals else ()),
    ]
    yield element("main", *sections)
    yield element(
        "footer",
        f"Version {__version__}. All times are UTC. With the header Accept: application/json the same comes as JSON.",
    )


def _sections(vitals: Vitals, report: Report) -> Iterator[Element]:
    yield section("Now", _figures(vitals, report.at))
    yield section("Last 14 days", *_days(vitals))
    yield section("Subscriptions", _subscriptions(report.diagnosis.watched))
    yield section("Queues", _queues(vitals))
    yield section("Organizers without access", *_denied(vitals.denied))
    yield section("Sweep", *_sweep(vitals))
    rows = [(name, silence.reason if silence else "answers") for name, silence in vitals.containers.items()]
    rows += [(name, value or "-") for name, value in report.settings.items()]
    listed = table(("Container or setting", "State or value"), rows)
    yield section("Storage and settings", element("details", element("summary", "Show"), listed))


def _sentences(heading: str, sentences: Sequence[str], class_: str) -> Iterator[Element]:
    if sentences:
        items = [element("li", sentence) for sentence in sentences]
        yield section(heading, element("ul", *items, class_=class_))


def _figures(vitals: Vitals, now: datetime) -> Element:
    refused, run = vitals.refused, vitals.maintenance
    length = vitals.queues[SIGNALS_QUEUE]
    figures = {
        "Last notification": _ago(vitals.last_notification, now),
        "Last stored report": _ago(vitals.last_report, now),
        "Oldest pending signal": _ago(oldest_pending(vitals), now, "none"),
        "Messages waiting or delayed": "not known" if isinstance(length, Silence) else f"{length:,}",
        "Wrong client states": f"{refused.count:,}, last {_ago(refused.last, now)}" if refused else "none",
        "Subscriptions last maintained": _ago(run.at if run else None, now),
    }
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in figures.items()]
    return element("dl", *pairs)


def _days(vitals: Vitals) -> Iterator[Element]:
    days = vitals.days
    most = max((_signals(manifest) for manifest in days.values()), default=0)
    yield element("ol", *[_bar(day, manifest, most) for day, manifest in days.items()], class_="days")
    yield element(
        "p",
        "One bar a day, the latest on the right, as high as the day has signals: ✓ complete, … open (the latest days "
        "always are), ? not known, because there is no manifest yet.",
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


def _bar(day: date, manifest: Manifest | None, most: int) -> Element:
    state, signals = _state(manifest), _signals(manifest)
    height = max(_SHORTEST, round(_TALLEST * signals / most)) if most else _SHORTEST
    mark, word = _STATES[state]
    text = f"{day.isoformat()}: {word}"
    if manifest:
        text += f", {_counted(signals, 'signal')}, {_counted(manifest.reports, 'report')}"
    drawn = element(
        "svg",
        element("title", text),
        element("rect", x="0", y=str(_TALLEST - height), width="10", height=str(height)),
        role="img",
        viewBox=f"0 0 10 {_TALLEST}",
        preserveAspectRatio="none",
    )
    below = element("span", element("b", mark), str(day.day), aria_hidden="true")
    return element("li", drawn, below, class_=state)


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


def _subscriptions(watched: Sequence[Watched] | None) -> Element:
    if watched is None:
        return element("p", "Not known: Graph did not tell.")
    rows = [
        (each.resource, _STANDINGS[each.standing], shown(each.expires) if each.expires else "-")
        for each in watched
    ]
    return table(("Resource", "State", "Expires"), rows)


def _queues(vitals: Vitals) -> Element:
    rows = [
        (name, f"does not answer: {length.reason}" if isinstance(length, Silence) else f"{length:,}")
        for name, length in vitals.queues.items()
    ]
    return table(("Queue", "Messages"), rows, numbers=(1,))


def _denied(denied: Denied) -> Iterator[Element]:
    if not denied.count:
        yield element("p", "None.")
        return
    rows = [
        (f"{each.id or 'Call records of the whole tenant'}, since {shown(each.since)}", each.cure)
        for each in denied.organizers
    ]
    shown_here = table(("Organizer (object id)", "Cure"), rows)
    if denied.count <= FEW:
        yield shown_here
        return
    yield element("p", f"{at_most(denied.count)} organizers.")
    yield element("details", element("summary", f"Show {len(rows)}, with their cures"), shown_here)


def _sweep(vitals: Vitals) -> Iterator[Element]:
    looks = {"Last hours": vitals.recent, "All open days": vitals.full}
    rows = [(name, *_look(look)) for name, look in looks.items()]
    yield table(("Look", "Finished", "Call records", "Missing"), rows, numbers=(2, 3))
    for name, look in looks.items():
        if look and look.error:
            yield element("p", f"{name}: {look.error}")


def _look(look: Look | None) -> tuple[str, str, str]:
    if look is None:
        return NONE_YET, "-", "-"
    state = shown(look.finished) if look.finished else f"under way since {shown(look.started)}"
    return state, f"{look.records:,}", f"{look.missing:,}"


def _ago(when: datetime | None, now: datetime, otherwise: str = NONE_YET) -> str:
    if when is None:
        return otherwise
    minutes = max(0, int((now - when).total_seconds() // 60))
    if minutes == 0:
        return f"{shown(when)} (just now)"
    if minutes < 120:
        age = f"{minutes} min"
    elif minutes < 2 * 24 * 60:
        age = f"{minutes // 60} h"
    else:
        age = f"{minutes // (24 * 60)} days"
    return f"{shown(when)} ({age} ago)"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
