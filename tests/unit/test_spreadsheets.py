"""Workbooks, read back as the XML that Excel reads."""

import io
import re
import tempfile
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.cli.export import spreadsheets
from shared.cli.export.spreadsheets import MOST_CHARACTERS, Cell, Sheet, write_workbook
from shared.errors import AttendanceError

MOMENT = datetime(2026, 11, 23, 9, 0, 4, tzinfo=UTC)


def written(*sheets: Sheet) -> zipfile.ZipFile:
    file = io.BytesIO()
    write_workbook(sheets, file)
    return zipfile.ZipFile(file)


def cells(book: zipfile.ZipFile, sheet: int = 1) -> dict[str, str]:
    """Each cell of a sheet, from its reference on."""
    text = book.read(f"xl/worksheets/sheet{sheet}.xml").decode()
    return {found[1]: found[0] for found in re.finditer(r'<c r="([A-Z]+\d+)".*?(?:</c>|/>)', text, re.DOTALL)}


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", " \t-2", "\uff0b1", "https://contoso.example", "007"])
def test_a_text_stays_a_text(text: str) -> None:
    book = written(Sheet("a", [text], [[text]]))
    for each in cells(book).values():
        assert 't="inlineStr"' in each
        assert "<f>" not in each
    assert not [name for name in book.namelist() if "rels" in name and "sheet1" in name]  # no link


@pytest.mark.parametrize(
    ("text", "is_quoted"), [("=1+1", True), ("\uff1d1", True), ("Weekly = planning", False)]
)
def test_a_text_like_a_formula_is_still_one_when_it_is_edited(text: str, is_quoted: bool) -> None:
    book = written(Sheet("a", [text], [[text]]))
    formats = re.findall(r"<xf [^>]*xfId[^>]*>", book.read("xl/styles.xml").decode().split("<cellXfs")[1])
    for cell in cells(book).values():
        style = re.search(r's="(\d+)"', cell)
        assert ('quotePrefix="1"' in formats[int(style[1]) if style else 0]) is is_quoted


def test_each_value_has_its_type() -> None:
    row: list[Cell] = [1896, 0.9977, True, MOMENT, date(2026, 11, 23), None, ""]
    found = cells(written(Sheet("a", list("abcdefg"), [row])))
    values = {name: found[f"{name}2"].split("<v>")[1].split("</v>")[0] for name in "ABCDE"}
    assert values == {"A": "1896", "B": "0.9977", "C": "1", "D": "46349.3750462963", "E": "46349"}
    assert 't="b"' in found["C2"]
    assert not {"F2", "G2"} & set(found)


def test_a_text_that_is_too_long_for_a_cell_is_cut() -> None:
    for each in cells(written(Sheet("a", ["a" * 40_000], [["a" * 40_000]]))).values():
        (cell,) = re.findall(r"<t>(.*)</t>", each)
        assert (len(cell), cell[-2:]) == (MOST_CHARACTERS, "a…")


def test_half_a_letter_costs_no_workbook() -> None:
    found = cells(written(Sheet("a", ["\ud83d"], [["\ud83d"]])))
    assert all("\\ud83d" in found[name] for name in ("A1", "A2"))


def test_a_sheet_that_is_full_is_said_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert write_workbook([Sheet("a", ["x"], [["1"], ["2"]]), Sheet("b", ["x"], [])], io.BytesIO()) == {
        "a": 2,
        "b": 0,
    }
    with pytest.raises(AttendanceError, match="attendees has more than 2 rows"):
        written(Sheet("attendees", ["x"], [["1"]] * 3))
    assert not list(tmp_path.iterdir())
