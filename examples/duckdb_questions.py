"""Three questions, answered with DuckDB from a copy of the archive.

    attendance reports download FOLDER --what reports --what manifests --what tables
    python examples/duckdb_questions.py FOLDER

Needs Python 3.10 or newer, and duckdb.

To read from Azure itself, put `az://attendance` in place of FOLDER, after `INSTALL azure; LOAD azure;` and
`CREATE SECRET (TYPE azure, PROVIDER credential_chain, ACCOUNT_NAME 'ACCOUNT');`.
"""

import sys
from typing import Any

import duckdb
from questions import ask, table_files

LATE = 10  # minutes

# In each question, `columns` says what is read. What a report lacks is null: Graph may add and leave out properties.
# From reports/: a report is one JSON document with all of its attendance records.
WHO = """
SELECT record.id AS id, record.identity ->> 'displayName' AS name, record.totalAttendanceInSeconds AS seconds
FROM (
    SELECT unnest(attendanceRecords) AS record
    FROM read_json(
        $folder || '/reports/date=*/' || $report || '.json',
        format = 'unstructured', maximum_object_size = 100_000_000, columns = {
            attendanceRecords: 'STRUCT(id VARCHAR, totalAttendanceInSeconds BIGINT, identity JSON)[]'
        }
    )
)
ORDER BY seconds DESC, id
"""

# From manifests/: the index has a line for each report, which no engine needs to open for this.
WEEKLY = """
SELECT
    organizerId, strftime(date_trunc('week', "end"::TIMESTAMPTZ::TIMESTAMP), '%Y-%m-%d') AS week,
    count(*) AS meetings, sum(participants)::BIGINT AS participants
FROM read_json(
    $folder || '/manifests/date=*/reports.jsonl', format = 'newline_delimited',
    columns = {organizerId: 'VARCHAR', "end": 'VARCHAR', participants: 'BIGINT'}
)
WHERE organizerId IS NOT NULL
GROUP BY ALL ORDER BY ALL
"""

# From tables/: a row for each attendee of each report.
TARDY = """
SELECT reportId, recordId, displayName, epoch(firstJoin - meetingStart)::BIGINT AS seconds
FROM read_parquet($files)
WHERE firstJoin - meetingStart > to_minutes($minutes)
ORDER BY ALL
"""


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory, whose clock is UTC: weeks begin there on Monday at 00:00 UTC."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def who_attended(folder: str, report_id: str) -> list[tuple[Any, ...]]:
    """Who attended a meeting and how long: (record id, name, seconds)."""
    return connect().execute(WHO, {"folder": folder, "report": report_id}).fetchall()


def per_organizer_and_week(folder: str) -> list[tuple[Any, ...]]:
    """Attendance per organizer and week: (organizer id, Monday, meetings, participants)."""
    return connect().execute(WEEKLY, {"folder": folder}).fetchall()


def late_joiners(folder: str, minutes: int = LATE) -> list[tuple[Any, ...]]:
    """Who joined later than that after the meeting began: (report id, record id, name, seconds late)."""
    files = table_files(folder, "attendees")
    return connect().execute(TARDY, {"files": files, "minutes": minutes}).fetchall() if files else []


if __name__ == "__main__":
    ask(sys.argv[1:], who_attended, per_organizer_and_week, late_joiners)
