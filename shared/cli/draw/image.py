"""Picture of a report as SVG, PNG or a self-contained HTML page.

The upper part shows how many people were present over time. The lower part has a line for each person, coloured by
role, in the order of joining. Up to 60 people are named beside their lines; more become a dense band, and the page
lists all of them in a table.
"""

from __future__ import annotations

import io
import logging
import re
import secrets
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

import matplotlib as mpl
from matplotlib import dates, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...health import html
from ...health.html import element
from .timeline import Participant, Timeline

FORMATS = ("svg", "png", "html")
MAX_NAMED = 60  # people with their names beside their lines
WIDTH, CURVE, DENSE, LINE, REST = 11.0, 2.0, 5.0, 0.21, 1.3  # inches
PIXELS = 150  # of PNG, an inch
MAX_NAME = 32  # letters of a name beside a line
# Colours that stay apart for colour-blind people: Okabe and Ito, https://jfly.uni-koeln.de/color/
COLOURS = {"Organizer": "#0072B2", "Presenter": "#D55E00", "Attendee": "#009E73"}
OTHERS = "#737373"
_FAMILY = re.compile(r'(<text style="[^"]*?)font-family: [^;"]*(?:; )?')
_SHEET = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 FONTS; }
figure { margin: 1rem 0; background: #fff; } svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; content-visibility: auto; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8885; text-align: left; font-weight: 400; }
thead th { font-weight: 600; } p, tbody th { overflow-wrap: anywhere; }
@media (max-width: 30rem) { th, td { font-size: .875rem; } }
.number { text-align: right; font-variant-numeric: tabular-nums; }
""".replace("FONTS", f"system-ui, {html.FONT_STACK}")


def render_picture(timeline: Timeline, form: str) -> bytes:
    """Render the picture in one of `FORMATS`. Raises ValueError for another one."""
    if form not in FORMATS:
        raise ValueError(f"{form!r} is none of {', '.join(FORMATS)}.")
    if form == "html":
        return _render_page(timeline).encode("utf-8", "xmlcharrefreplace")
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "attendance", "svg.fonttype": "none"}):
        warnings.simplefilter("ignore")  # a letter may be missing in all fonts
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        mpl.rcParams["font.family"] = _installed_fonts()
        figure, file = _draw_figure(timeline), io.BytesIO()
        if form == "png":
            FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
            return file.getvalue()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return _name_fonts_once(file.getvalue().decode()).encode()


def _installed_fonts() -> list[str]:
    """Return the fonts of this machine.

    Each letter is drawn with the first that has it.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in html.FONTS if name in installed]


def _name_fonts_once(svg: str) -> str:
    """Name all fonts in the root instead of in each text.

    The reader's machine may have others than this one.
    """
    return _FAMILY.sub(r"\1", svg).replace("<svg ", f'<svg font-family="{html.FONT_STACK}" ', 1)


def _draw_figure(timeline: Timeline) -> Figure:
    named = len(timeline.people) <= MAX_NAMED
    people = max(0.6, LINE * len(timeline.people)) if named else DENSE
    figure = Figure((WIDTH, CURVE + people + REST), dpi=PIXELS, layout="constrained")
    _disable_math(figure.suptitle(timeline.title, fontsize=11, x=0.01, ha="left"))
    curve, lines = figure.subplots(2, height_ratios=(CURVE, people), sharex=True)
    if timeline.span is None or not timeline.people:
        figure.text(0.5, 0.5, timeline.missing, ha="center")
    else:
        _draw_curve(curve, timeline)
        _draw_people(lines, timeline.people, named=named)
        lines.set_xlim(*(dates.date2num(time) for time in timeline.span))
        locator = dates.AutoDateLocator(tz=UTC, maxticks=12)
        lines.xaxis.set_major_locator(locator)
        lines.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
        lines.set_xlabel("UTC")
    for each in (curve, lines):
        each.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_curve(axes: Axes, timeline: Timeline) -> None:
    times = [float(dates.date2num(time)) for time, _ in timeline.curve]
    counts = [count for _, count in timeline.curve]
    axes.fill_between(times, counts, step="post", color="#56B4E9", alpha=0.5, linewidth=0)
    axes.step(times, counts, where="post", color="#0072B2", linewidth=1)
    axes.set_ylim(0, timeline.peak * 1.08 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("present")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color="#0002", linewidth=0.5)


def _draw_people(axes: Axes, people: Sequence[Participant], *, named: bool) -> None:
    """Draw one collection of lines per role.

    So the picture of thousands of people has few elements.
    """
    by_role: dict[str, list[tuple[int, float, float]]] = {}
    for number, each in enumerate(people):
        of_role = by_role.setdefault(each.role if each.role in COLOURS else "Others", [])
        of_role += [
            (number, float(dates.date2num(stay.join)), float(dates.date2num(stay.leave)))
            for stay in each.stays
        ]
    height = DENSE if not named else max(0.6, LINE * len(people))
    thick = max(0.4, min(8.0, 72 * height / len(people) * 0.62))
    for role in ("Others", *reversed(COLOURS)):  # small groups are drawn last, on top
        if stays_of_role := by_role.get(role):
            numbers, joins, leaves = zip(*stays_of_role, strict=True)
            colour = COLOURS.get(role, OTHERS)
            axes.hlines(numbers, joins, leaves, colors=colour, linewidth=thick, label=role)
    axes.set_ylim(len(people) - 0.5, -0.5)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    if named:
        axes.set_yticks(range(len(people)), [_short(each.name) for each in people], fontsize=8)
        for label in axes.get_yticklabels():
            _disable_math(label)
    else:
        axes.set_ylabel(f"{len(people):,} people, by first joining")
    legend = axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.75 / height),
        ncols=4,
        frameon=False,
        fontsize=8,
        reverse=True,
    )
    for line in legend.get_lines():
        line.set_linewidth(6)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _disable_math(label: object) -> None:
    """Show a text literally: `$` in a name does not start a formula."""
    label.set_parse_math(False)  # type: ignore[attr-defined]


def _render_page(timeline: Timeline) -> str:
    title, mark = timeline.title, f"picture-{secrets.token_hex(8)}"
    rows = [
        (
            each.name,
            each.role,
            _format_clock(each.first),
            _format_clock(each.last),
            "" if each.minutes is None else f"{each.minutes:,}",
        )
        for each in timeline.people
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Attendance, {title}"),
        element("style", _SHEET),
    )
    main = element(
        "main",
        element("h1", "Attendance"),
        element("p", title),
        element("p", f"Report {timeline.report_id}"),
        element("figure", mark, role="img", aria_label="Who was there when; the table says the same."),
        html.table(("Who", "Role", "Joined", "Left", "Minutes"), rows, (4,)),
    )
    page = html.render(element("html", head, element("body", main), lang="en"))
    return page.replace(
        mark, render_picture(timeline, "svg").decode().partition("<svg")[2].join(("<svg", ""))
    )


def _format_clock(moment: datetime | None) -> str:
    return f"{moment:%H:%M:%S}" if moment else ""
