"""The picture of a report: in a terminal, and as SVG, PNG and HTML."""

import io
import re
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.font_manager import FontManager
from rich.console import Console

from shared.cli.draw import image, terminal, timeline
from tests.unit.test_rows import ANYTHING, RECORDS

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOSTILE = "<script>$\\frac{1}{2}$[bold]\x1b[31m\u202e& 王小明 محمد 😀"


def person(
    name: str | None, *stays: tuple[int, int], role: str = "Attendee", **more: object
) -> dict[str, Any]:
    """An attendance record; a stay is from one minute to another."""
    return {
        "id": "p",
        "emailAddress": "",
        "role": role,
        "totalAttendanceInSeconds": 60 * sum(leave - join for join, leave in stays),
        "identity": {"id": "p", "displayName": name},
        "attendanceIntervals": [
            {
                "joinDateTime": f"{(START + timedelta(minutes=join)):%Y-%m-%dT%H:%M:%S}.1234567Z",
                "leaveDateTime": f"{(START + timedelta(minutes=leave)):%Y-%m-%dT%H:%M:%S}.1234567Z",
            }
            for join, leave in stays
        ],
    } | more


def report(*people: dict[str, Any], **more: object) -> dict[str, Any]:
    return {
        "id": "r",
        "totalParticipantCount": len(people),
        "meetingStartDateTime": "2026-11-23T09:00:00.1234567Z",
        "meetingEndDateTime": "2026-11-23T10:00:00.1234567Z",
        "attendanceRecords": list(people),
    } | more


def crowd(size: int) -> dict[str, Any]:
    return report(*(person(f"P {n}", (n % 30, 31 + n % 29), (61, 62)) for n in range(size)))


def text(content: dict[str, Any], rows: int | None = terminal.ROWS, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(terminal.Drawing(timeline.parse_timeline(content), rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_people_come_by_their_first_joining_and_the_curve_counts_them() -> None:
    known = timeline.parse_timeline(
        report(person("B", (10, 20), (30, 40)), person("A", (0, 60)), person("C"))
    )
    assert [each.name for each in known.people] == ["A", "B", "C"]
    minutes = [(round((when - START).total_seconds() / 60), count) for when, count in known.curve]
    assert minutes == [(0, 1), (10, 2), (20, 1), (30, 2), (40, 1), (60, 0)]
    assert (known.peak, known.participants) == (2, 3)


def test_somebody_with_two_devices_is_there_once() -> None:
    known = timeline.parse_timeline(report(person("A", (20, 50), (0, 30), (55, 60)), person("B", (40, 60))))
    minutes = [(round((when - START).total_seconds() / 60), count) for when, count in known.curve]
    assert minutes == [(0, 1), (40, 2), (50, 1), (55, 2), (60, 0)]
    assert len(known.people[0].stays) == 2
    assert "2 participants, at most 2 at once" in known.title


def test_an_interval_without_end_lasts_to_the_end_of_the_meeting() -> None:
    record = person("A", attendanceIntervals=[{"joinDateTime": "2026-11-23T09:30:00Z"}])
    (stay,) = timeline.parse_timeline(report(record)).people[0].stays
    assert (stay.join.minute, stay.leave.hour) == (30, 10)


def test_a_person_without_name_has_the_address_and_else_none() -> None:
    known = timeline.parse_timeline(
        report(person(None, (0, 1), emailAddress="a@contoso.example"), person(None))
    )
    assert [each.name for each in known.people] == ["a@contoso.example", timeline.UNKNOWN_NAME]


@pytest.mark.parametrize("nasty", ["\x1b[2J", "\u202eabc", "\u2066x", "\x00", "\x9b31m", "\ud800", "a\nb\rc"])
def test_a_name_cannot_direct_what_shows_it(nasty: str) -> None:
    assert timeline.sanitize(nasty).isprintable()


def test_the_drawing_has_a_bar_for_each_person_within_80_columns() -> None:
    drawn = text(report(person("Frida", (0, 60), role="Organizer"), person("王小明", (30, 60))))
    lines = drawn.splitlines()
    assert lines[:2] == ["Report r", "2026-11-23 09:00 to 10:00 UTC, 2 participants, at most 2 at once"]
    frida, wang = (next(line for line in lines if name in line) for name in ("Frida", "王小明"))
    assert "60 m" in frida
    assert frida.count("█") == 38
    assert abs(wang.count("█") - 19) <= 1
    assert max(map(len, lines)) <= 80


def test_of_many_people_the_first_are_drawn_and_the_rest_counted() -> None:
    drawn = text(crowd(3_000))
    assert "and 2,960 more who joined later" in drawn
    assert len(drawn.splitlines()) < 60
    assert len(text(crowd(100), None).splitlines()) > 100


def test_where_letters_are_few_the_drawing_is_of_ascii() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, "ascii") as stream:
        Console(file=stream, width=80, color_system=None).print(
            terminal.Drawing(timeline.parse_timeline(report(person("王", (0, 60)))), None)
        )
        stream.flush()
        assert b"?" in raw.getvalue()
        assert b"####" in raw.getvalue()


@pytest.mark.parametrize(
    "content", [{}, report(), report(person("A"), meetingStartDateTime=None, meetingEndDateTime=None)]
)
def test_where_there_is_nothing_to_draw_it_says_so(content: dict[str, Any]) -> None:
    words = "The report has no times." if content.get("attendanceRecords") else "Nobody attended."
    assert words in text(content)
    assert words in image.render_picture(timeline.parse_timeline(content), "svg").decode()


def test_a_count_without_records_says_so() -> None:
    content = report(totalParticipantCount=7)
    for picture in (text(content), image.render_picture(timeline.parse_timeline(content), "svg").decode()):
        assert "7 participants" in picture
        assert "Graph counts participants, but the report has no records of them." in picture
        assert "Nobody attended" not in picture
        assert "at once" not in picture


@pytest.mark.parametrize(
    "stay",
    [
        ("2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"),
        ("2026-03-01T09:00:00Z", "2026-11-23T09:30:00Z"),
        ("2026-11-23T09:30:00Z", "2027-06-01T00:00:00Z"),
        ("1601-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("2026-11-23T09:30:00Z", "9999-12-31T23:59:59Z"),
    ],
)
@pytest.mark.parametrize("missing", [[], ["meetingStartDateTime"], ["meetingEndDateTime"]])
def test_a_stay_outside_the_meeting_does_not_stretch_the_axis(
    stay: tuple[str, str], missing: list[str]
) -> None:
    outside = person("B", attendanceIntervals=[{"joinDateTime": stay[0], "leaveDateTime": stay[1]}])
    content = report(person("A", (0, 60)), outside, **dict.fromkeys(missing))
    drawn = timeline.parse_timeline(content)
    assert drawn.span
    assert drawn.span[1] - drawn.span[0] <= timedelta(hours=33)
    if not missing:
        assert drawn.span[1] - drawn.span[0] <= timedelta(hours=3)
    assert {each.name for each in drawn.people} == {"A", "B"}


def test_a_meeting_of_years_does_not_stretch_the_axis() -> None:
    drawn = timeline.parse_timeline(report(person("A", (0, 60)), meetingStartDateTime="2001-01-01T00:00:00Z"))
    assert drawn.span
    assert drawn.span[1] - drawn.span[0] <= timedelta(hours=2)


@pytest.mark.parametrize(
    "interval", [{"durationInSeconds": 600}, {"durationInSeconds": 600, "joinDateTime": None}]
)
def test_a_duration_without_join_and_leave_is_not_drawn_as_presence(interval: dict[str, Any]) -> None:
    drawn = timeline.parse_timeline(report(person("A", attendanceIntervals=[interval]), person("B", (0, 10))))
    assert {each.name: len(each.stays) for each in drawn.people} == {"A": 0, "B": 1}
    assert drawn.peak == 1


@pytest.mark.parametrize("size", [1, 3, 60, 61, 3_000])
@pytest.mark.parametrize("form", image.FORMATS)
def test_a_picture_of_any_number_of_people(size: int, form: str) -> None:
    made = image.render_picture(timeline.parse_timeline(crowd(size)), form)
    assert made.startswith({"svg": b"<?xml", "png": b"\x89PNG", "html": b"<!doctype html>"}[form])
    if form == "html":
        assert made.count(b"<tr>") == size + 1
    assert len(made) < 3_000_000


def test_the_same_report_makes_the_same_picture() -> None:
    known = timeline.parse_timeline(crowd(5))
    for form in image.FORMATS:
        assert image.render_picture(known, form) == image.render_picture(known, form)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> FontManager:
    """The fonts of a machine that has only matplotlib's own, DejaVu."""
    manager = font_manager.fontManager
    own = [each for each in manager.ttflist if each.name.startswith("DejaVu")]
    monkeypatch.setattr(manager, "ttflist", own)
    return manager


@pytest.mark.parametrize(
    ("family", "letter"), [("Noto Sans CJK JP", "王"), ("Microsoft YaHei", "王"), ("Nirmala UI", "अ")]
)
def test_a_letter_takes_a_font_of_the_machine_that_has_it(
    fonts: FontManager, tmp_path: Path, family: str, letter: str
) -> None:
    known = timeline.parse_timeline(report(person(letter, (0, 60))))
    without = image.render_picture(known, "png")
    fonts.addfont(make_font(tmp_path / "letter.ttf", family, letter))
    assert image.render_picture(known, "png") != without


def make_font(file: Path, family: str, letter: str) -> Path:
    """Make a font of one letter, a square."""
    pen = TTGlyphPen(None)
    for index, point in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if index else pen.moveTo)(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", "letter"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): "letter"})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)
    return file


def test_an_svg_names_the_fonts_of_all_machines_once_and_changes_no_name() -> None:
    name = "font-family: x; y"
    svg = image.render_picture(timeline.parse_timeline(report(person(name, (0, 60)))), "svg").decode()
    root = ElementTree.fromstring(svg)
    stack = root.get("font-family") or ""
    for family in (
        "Noto Sans CJK JP",
        "Microsoft YaHei",
        "PingFang SC",
        "Noto Sans Devanagari",
        "Nirmala UI",
    ):
        assert f"'{family}'" in stack
    assert stack.endswith(", sans-serif")
    assert name in "".join(root.itertext())
    assert [each for each in root.iter() if "font-family" in each.get("style", "")] == []


def test_another_format_is_named() -> None:
    with pytest.raises(ValueError, match="'gif' is none of svg, png, html"):
        image.render_picture(timeline.parse_timeline(report()), "gif")


def test_a_hostile_name_is_a_name() -> None:
    known = timeline.parse_timeline(report(person(HOSTILE, (0, 60), role=HOSTILE)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg, page = (image.render_picture(known, form).decode() for form in ("svg", "html"))
    shown = "".join(ElementTree.fromstring(svg).itertext())
    assert "<script>" in shown
    assert "\\frac" in shown
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "\x1b" not in svg + page + text(report(person(HOSTILE, (0, 60), role=HOSTILE)))


@settings(max_examples=25)
@given(
    st.dictionaries(st.sampled_from(["id", "meetingStartDateTime", "totalParticipantCount"]), ANYTHING),
    st.lists(RECORDS, max_size=4),
    st.sampled_from(image.FORMATS),
)
def test_any_report_is_drawn(fields: dict[str, Any], records: list[Any], form: str) -> None:
    content = {**fields, "attendanceRecords": records}
    assert text(content)
    assert image.render_picture(timeline.parse_timeline(content), form)
