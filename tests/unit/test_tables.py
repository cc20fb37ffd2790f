"""Tables of an export, and rows without names."""

import codecs
import csv
import io
import json
import re
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared import times
from shared.archive.invitees import ListFile
from shared.cli.database import open_database, read_days
from shared.cli.export import tables
from shared.cli.export.pseudonyms import Pseudonyms
from shared.cli.export.spreadsheets import write_csv
from shared.cli.export.tables import COLUMNS, ExportTable, Format
from shared.errors import AttendanceError
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.tables.columns import STRING
from tests.support.parquet import rows_of
from tests.unit.test_day_tables import DAY, NOW, TENANT, Day
from tests.unit.test_rows import record
from tests.unit.test_spreadsheets import cells as cells_of

FILES = [form for form in Format if form is not Format.XLSX]
REPORT = {
    "id": "r",
    "meetingStartDateTime": "2026-11-23T09:00:00.1234567Z",
    "meetingEndDateTime": "2026-11-23T10:00:00Z",
    "totalParticipantCount": 2,
    "attendanceRecords": [
        record(engagements=[{"engagementType": "hand", "dateTime": "2026-11-23T09:01:00Z"}]),
        {},
    ],
}


INVITEES = InviteeList(ListState.COMPLETE, (Invitee(InviteeKind.INVITED, "p", "p@contoso.example"),))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)


def store(day: Day, body: bytes) -> None:
    """Store a report with its list of invitees, and seal the day."""
    invitees = ListFile.of(INVITEES)
    name = f"reports/date={DAY}/r.json"
    invitees.write(day.container, name, invitees.metadata, NOW)
    day.store("r", body=body, meetingid="m", **invitees.metadata)
    assert day.write()


def written(
    table: ExportTable, form: Format, report: object = REPORT, *, key: str | None = None, mark: bool = False
) -> bytes:
    """The file of a table of a sealed day with this report."""
    day = Day()
    store(day, report if isinstance(report, bytes) else json.dumps(report).encode())
    with (
        open_database(day.container, read_days(day.container, [DAY]), TENANT) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        pseudonyms = Pseudonyms(key) if key else None
        if pseudonyms:
            pseudonyms.register(database)
        file = Path(folder, "x")
        count = tables.write_table(database, table, pseudonyms, form, file, mark=mark)
        (known,) = database.execute(f"SELECT count(*) FROM {table}").fetchall()
        assert known == (count,)
        return file.read_bytes()


def named(name: str) -> bytes:
    """A CSV file with this name."""
    file = io.BytesIO()
    write_csv(["displayName"], [[name]], file)
    return file.getvalue()


def csv_rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


@pytest.mark.parametrize("table", list(ExportTable))
def test_all_formats_hold_the_same(table: ExportTable) -> None:
    text = csv_rows(written(table, Format.CSV))
    packed = rows_of(written(table, Format.PARQUET))
    lines = [json.loads(line) for line in written(table, Format.JSONL).splitlines()]
    assert len(text) == len(packed) == len(lines) > 0
    for cells, row, line in zip(text, packed, lines, strict=True):
        assert list(cells) == list(row) == list(line) == list(COLUMNS[table])
        for name, value in row.items():
            plain = times.text(value) if isinstance(value, datetime) else value
            assert line[name] == plain
            assert cells[name] == ("" if value is None else str(plain))


@pytest.mark.parametrize("table", list(ExportTable))
def test_a_workbook_holds_the_same(table: ExportTable) -> None:
    day = Day()
    store(day, json.dumps(REPORT).encode())
    file = io.BytesIO()
    with open_database(day.container, read_days(day.container, [DAY]), TENANT) as database:
        counts = tables.write_sheets(database, list(ExportTable), None, file)
    assert counts == {each: len(csv_rows(written(each, Format.CSV))) for each in ExportTable}
    number = list(ExportTable).index(table) + 1
    assert len(cells_of(zipfile.ZipFile(file), number)) > len(COLUMNS[table])


def test_times_and_numbers_have_their_types() -> None:
    (row, _) = rows_of(written(ExportTable.ATTENDEES, Format.PARQUET))
    assert row["meetingStart"] == datetime(2026, 11, 23, 9, 0, 0, 123_000, tzinfo=UTC)
    assert row["attendedSeconds"] == 90
    assert (row["revision"], row["complete"]) == (1, True)


def test_stays_are_numbered() -> None:
    found = rows_of(written(ExportTable.INTERVALS, Format.PARQUET))
    assert [(row["recordNumber"], row["interval"], row["seconds"]) for row in found] == [
        (0, 0, 60),
        (0, 1, 30),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_name_is_no_formula(name: str) -> None:
    (row,) = csv_rows(named(name))
    assert row["displayName"] == f"'{name}"


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\u2212"
BLANKS = ["", " ", "\t", "\n", "\r", ";", "\ufeff", "\xa0", "\u3000", "\u200b", '"', "; ", ';"', "\r\n", ";;"]


@pytest.mark.parametrize("before", ["", "x;", "x\t", "x\n", 'x";'])
@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
def test_no_cell_begins_a_formula_in_any_spreadsheet(blank: str, before: str) -> None:
    """However the file is separated, and whatever is not shown ahead of the sign."""
    file, texts = io.BytesIO(), [f"{before}{blank}{sign}cmd|' /C calc'!A0" for sign in SIGNS]
    write_csv(texts, [texts], file)
    body = file.getvalue()
    for separator in ",;\t":
        for cells in csv.reader(io.StringIO(body.decode(), newline=""), delimiter=separator):
            for cell in cells:
                for line in re.split(r"[;\t\r\n]", cell):
                    assert re.sub(r'^[\s"\ufeff\u200b]+', "", line)[:1] not in tuple(SIGNS), (separator, cell)


@pytest.mark.parametrize("name", ["O'Neil; Anna", "Anna-Maria = x", "a@b.example", "x\ty", "Ünal\xa0B", ""])
def test_other_texts_stay_as_they_are(name: str) -> None:
    (row,) = csv_rows(named(name))
    assert row["displayName"] == name


def test_a_text_of_separators_alone_takes_no_long_time() -> None:
    name = "\t;" * 500_000
    began = time.process_time()
    write_csv(["displayName"], [[name]], io.BytesIO())
    assert time.process_time() - began < 5  # quadratic, it would take hours


def test_a_byte_order_mark_is_written_on_request() -> None:
    plain = written(ExportTable.MEETINGS, Format.CSV)
    assert written(ExportTable.MEETINGS, Format.CSV, mark=True) == codecs.BOM_UTF8 + plain


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize(
    "number", [str(2**63), "9" * 4_000, "1e400", "-1e30", "1.5"], ids=lambda text: text[:9]
)
def test_a_number_that_no_engine_holds_is_null(form: Format, number: str) -> None:
    text = json.dumps(REPORT | {"totalParticipantCount": 1}).replace(
        '"totalParticipantCount": 1', f'"totalParticipantCount": {number}'
    )
    body = written(ExportTable.MEETINGS, form, text.encode())
    assert number[:9] not in str(rows_of(body) if form is Format.PARQUET else body)


@pytest.mark.parametrize("form", FILES)
def test_half_a_letter_costs_no_export(form: Format) -> None:
    assert written(
        ExportTable.ATTENDEES, form, {"attendanceRecords": [{"identity": {"displayName": "\ud83d"}}]}
    )


def test_pseudonyms_are_the_same_for_the_same_person_and_key() -> None:
    one, other = Pseudonyms("k" * 16), Pseudonyms("l" * 16)
    assert one.make("A-1") == one.make("a-1") != other.make("A-1")
    with pytest.raises(AttendanceError, match="fewer than 16"):
        Pseudonyms("short")


@pytest.mark.parametrize("table", list(ExportTable))
def test_every_column_that_tells_who_is_a_pseudonym_or_left_out(table: ExportTable) -> None:
    plain = {
        "tenantId",
        "identityType",
        "meetingType",
        "role",
        "source",
        "engagementType",
        "engagementSubType",
        "kind",
        "registrationStatus",
    }
    texts = {name for name, kind in COLUMNS[table].items() if kind == STRING}
    assert {name for name in texts if Pseudonyms("k" * 16).select(name) == f'"{name}"'} <= plain
    for clear, row in zip(
        csv_rows(written(table, Format.CSV)), csv_rows(written(table, Format.CSV, key="k" * 16)), strict=True
    ):
        assert {name for name in texts if row[name] == clear[name] != ""} <= plain
