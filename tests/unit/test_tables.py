"""Tables of an export, and rows without names."""

import codecs
import csv
import io
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pyarrow import parquet

from shared.cli import reading
from shared.cli.export import tables
from shared.cli.export.pseudonyms import Pseudonyms
from shared.cli.export.tables import COLUMNS, ExportTable, Format
from shared.errors import AttendanceError
from shared.graph.invitees import Invitee, InviteeKind, InviteeList, ListState
from shared.tables import rows
from shared.tables.columns import STRING
from tests.unit.test_rows import LINE, record

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


def written(table: ExportTable, form: Format, found: list[Any]) -> bytes:
    file = io.BytesIO()
    assert tables.write_table(table, found, form, file) == len(found)
    return file.getvalue()


def csv_rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


@pytest.mark.parametrize("table", list(ExportTable))
def test_both_formats_hold_the_same(table: ExportTable) -> None:
    found = list(tables.report_rows(table, REPORT, LINE, INVITEES))
    text = csv_rows(written(table, Format.CSV, found))
    packed = parquet.read_table(io.BytesIO(written(table, Format.PARQUET, found))).to_pylist()
    assert len(text) == len(packed) == len(found) > 0
    for line, row in zip(text, packed, strict=True):
        assert list(line) == list(row) == list(COLUMNS[table])
        for name, value in row.items():
            if isinstance(value, datetime):
                assert datetime.fromisoformat(line[name]) == value
            else:
                assert line[name] == ("" if value is None else str(value))


def test_times_and_numbers_have_their_types() -> None:
    (row, _) = parquet.read_table(
        io.BytesIO(written(ExportTable.ATTENDEES, Format.PARQUET, list(rows.attendee_rows(REPORT, LINE))))
    ).to_pylist()
    assert row["meetingStart"] == datetime(2026, 11, 23, 9, 0, 0, 123_000, tzinfo=UTC)
    assert row["attendedSeconds"] == 90


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_name_is_no_formula(name: str) -> None:
    (row,) = csv_rows(written(ExportTable.ATTENDEES, Format.CSV, [{"displayName": name}]))
    assert row["displayName"] == f"'{name}"


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\u2212"
BLANKS = ["", " ", "\t", "\n", "\r", ";", "\ufeff", "\xa0", "\u3000", "\u200b", '"', "; ", ';"', "\r\n", ";;"]


@pytest.mark.parametrize("before", ["", "x;", "x\t", "x\n", 'x";'])
@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
def test_no_cell_begins_a_formula_in_any_spreadsheet(blank: str, before: str) -> None:
    """However the file is separated, and whatever is not shown ahead of the sign."""
    found = [{"displayName": f"{before}{blank}{sign}cmd|' /C calc'!A0"} for sign in SIGNS]
    body = written(ExportTable.ATTENDEES, Format.CSV, found)
    for separator in ",;\t":
        for cells in csv.reader(io.StringIO(body.decode(), newline=""), delimiter=separator):
            for cell in cells:
                for line in re.split(r"[;\t\r\n]", cell):
                    assert re.sub(r'^[\s"\ufeff\u200b]+', "", line)[:1] not in tuple(SIGNS), (separator, cell)


@pytest.mark.parametrize("name", ["O'Neil; Anna", "Anna-Maria = x", "a@b.example", "x\ty", "Ünal\xa0B", ""])
def test_other_texts_stay_as_they_are(name: str) -> None:
    (row,) = csv_rows(written(ExportTable.ATTENDEES, Format.CSV, [{"displayName": name}]))
    assert row["displayName"] == name


def test_a_text_of_separators_alone_takes_no_long_time() -> None:
    name = "\t;" * 500_000
    began = time.process_time()
    written(ExportTable.ATTENDEES, Format.CSV, [{"displayName": name}])
    assert time.process_time() - began < 5  # quadratic, it would take hours


def test_a_byte_order_mark_is_written_on_request() -> None:
    file = io.BytesIO()
    tables.write_table(ExportTable.ATTENDEES, [{"displayName": "Zoë"}], Format.CSV, file, mark=True)
    plain = written(ExportTable.ATTENDEES, Format.CSV, [{"displayName": "Zoë"}])
    assert file.getvalue() == codecs.BOM_UTF8 + plain


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize(
    "number", [str(2**63), "9" * 5_000, "1e400", "-1e30", "1.5"], ids=lambda text: text[:9]
)
def test_a_number_that_no_engine_holds_is_null(form: Format, number: str) -> None:
    text = json.dumps(REPORT | {"totalParticipantCount": 1}).replace(
        '"totalParticipantCount": 1', f'"totalParticipantCount": {number}'
    )
    report = reading.parse_report(text.encode(), "reports/x.json")
    (row,) = tables.report_rows(ExportTable.MEETINGS, report, LINE)
    assert row["meetingParticipants"] is None
    assert written(ExportTable.MEETINGS, form, [row])


@pytest.mark.parametrize("form", list(Format))
def test_half_a_letter_costs_no_export(form: Format) -> None:
    half = {"attendanceRecords": [{"identity": {"displayName": "\ud83d"}}]}
    assert written(ExportTable.ATTENDEES, form, list(rows.attendee_rows(half, LINE)))


def test_pseudonyms_are_the_same_for_the_same_person_and_key() -> None:
    row = {
        "personId": "A-1",
        "organizerId": "a-1",
        "displayName": "P",
        "emailAddress": "p@x",
        "role": "Attendee",
    }
    one, other = Pseudonyms("k" * 16).row(row), Pseudonyms("l" * 16).row(row)
    assert one["personId"] == one["organizerId"] != other["personId"]
    assert (one["displayName"], one["emailAddress"], one["role"]) == (None, None, "Attendee")
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
    row = {name: f"secret-{name}" for name in COLUMNS[table]}
    told = {name for name, value in Pseudonyms("k" * 16).row(row).items() if value == f"secret-{name}"}
    texts = {name for name, kind in COLUMNS[table].items() if kind == STRING}
    assert told & texts <= plain
