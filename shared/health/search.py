"""Search of the health page: the story of one meeting, by its link or an id of it.

The answer has the sentences of `attendance explain`, without the meeting's subject and link: the function key opens no
content of meetings (docs/security.md). The text comes in a POST, because addresses are logged. It is neither logged nor
returned.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs
from xml.etree.ElementTree import Element

from .. import settings as app_settings
from .. import times
from ..errors import SettingError
from ..messages.signals import kind_of
from ..settings import GUID, Settings
from . import explanation, page, readings
from .endpoint import HEADERS, HealthResponse
from .explanation import Explanation, Possibility
from .html import element, section
from .lookup import is_link
from .parallel_reads import ParallelReads, ReadFailure

SECONDS = 25.0  # of a search
_SEARCHES = threading.BoundedSemaphore(2)  # at once, also those that nobody waits for any more
BY_COMMAND = "On your machine: attendance explain MEETING"
_SIGNAL_ID = re.compile(r"[A-Za-z0-9-]{4,100}")  # never a path: the text becomes the name of a blob
HIDDEN = (explanation.SUBJECT, explanation.LINK, explanation.SIGNAL)  # the signal is the heading


def respond(environ: Mapping[str, str], body: bytes) -> HealthResponse:
    """Return a page about the meeting that the form's body names.

    The status is 200 also if it is unknown, 400 for a text that is searched for nowhere, 503 without an answer.
    """
    text = _parse_form(body)
    if wrong := _find_fault(text):
        return _page(400, "Not searched", element("p", wrong))
    try:
        settings = app_settings.load(environ)
    except SettingError as failure:
        return _page(503, "Not searched", element("p", str(failure)))
    with ParallelReads() as reads:
        answer = reads.result(reads.start(lambda: _search_in_turn(text, settings)), SECONDS)
    if isinstance(answer, ReadFailure):
        return _page(503, "Not found out", element("p", f"The search failed: {answer.reason}."))
    return answer


def _parse_form(body: bytes) -> str:
    """Return the text of the form's field, or "" if it has none."""
    if len(body) > 12 * page.LONGEST_SEARCH:  # a letter takes twelve bytes at most
        return "x" * (page.LONGEST_SEARCH + 1)
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=4)
    except ValueError:
        return ""
    return fields.get(page.SEARCHED, [""])[0].strip()


def _find_fault(text: str) -> str:
    """Return what is wrong with a text, or "" if it can be searched for."""
    if not text:
        return "Give a meeting's link or an id."
    if len(text) > page.LONGEST_SEARCH:
        return f"This is longer than {page.LONGEST_SEARCH:,} characters: give a meeting's link or an id."
    if is_link(text) or GUID.match(text) or (kind_of(text) and _SIGNAL_ID.fullmatch(text)):
        return ""
    return (
        "This is neither a link nor the id of a signal, call or report. A subject is searched for by the command line "
        "only, with your own rights."
    )


def _search_in_turn(text: str, settings: Settings) -> HealthResponse:
    """Search if few others do, and return the page.

    Raises azure.core errors.
    """
    if not _SEARCHES.acquire(blocking=False):
        return _page(503, "Not searched", element("p", "Other searches are running: try again in a minute."))
    try:
        return _search(text, settings)
    finally:
        _SEARCHES.release()


def _search(text: str, settings: Settings) -> HealthResponse:
    sources, now = readings.app_sources(settings), times.now()
    found = sources.lookup.find(text)
    if not found.meetings:
        fresh = readings.freshness(sources.state, sources.scans)
        possible = explanation.explain_unknown(text, None, settings, now, fresh)
        return _page(200, "The app knows of no such meeting", *_unknown(possible))
    stories = [explanation.explain_meeting(each, settings, now) for each in found.meetings]
    title = "One meeting found" if len(stories) == 1 else f"{len(stories)} meetings found"
    rest = [element("p", sentence) for sentence in explanation.describe_rest(found)]
    return _page(200, title, *map(_story, stories), *rest)


def _page(status: int, title: str, *content: Element) -> HealthResponse:
    back = Element("a", {"href": ""})  # the page's own address, with the key
    back.text = "Health of the app"
    body = (
        element("header", element("h1", title), class_="" if status == 200 else "bad"),
        element("main", *content, page.build_search()),
        element("footer", element("p", back), element("p", f"{BY_COMMAND}. All times are UTC.")),
    )
    text = page.render_document(title, *body)
    return HealthResponse(status, text, "text/html", {**HEADERS, "Content-Security-Policy": page.POLICY})


def _story(each: Explanation) -> Element:
    record = each.meeting.record
    facts = [pair for pair in explanation.describe_facts(each) if pair[0] not in HIDDEN]
    pairs = [element("div", element("dt", label), element("dd", value)) for label, value in facts]
    history = [element("li", f"{when}: {text}") for when, text in explanation.describe_history(each)]
    return section(
        f"Signal {record.signal_id}" if record else "A report",
        element("dl", *pairs),
        *([element("ol", *history)] if history else ()),
        element(
            "dl",
            *[
                element("div", element("dt", label), element("dd", text))
                for label, text in explanation.describe_reason(each)
            ],
        ),
        *_commands(each.reason.run),
    )


def _commands(run: tuple[str, ...]) -> Iterator[Element]:
    if run:
        yield element("p", "To run:")
        yield element("ul", *[element("li", element("code", each)) for each in run])


def _unknown(possible: list[Possibility]) -> Iterator[Element]:
    """Yield what an unknown meeting can mean."""
    yield element("p", explanation.unknown_heading(possible))
    items = []
    for each in possible:
        run = [element("p", element("code", each.run))] if each.run else []
        items.append(element("li", element("p", each.text), *run))
    yield element("ul", *items)
