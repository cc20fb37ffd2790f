"""Three questions, answered with pandas from a copy of the archive.

    attendance reports download FOLDER --what reports --what manifests --what tables
    python examples/pandas_questions.py FOLDER

Needs Python 3.10 or newer, pandas and pyarrow.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from questions import ask, table_files

LATE = 10  # minutes


def who_attended(folder: str, report_id: str) -> list[tuple[Any, ...]]:
    """Who attended a meeting and how long: (record id, name, seconds)."""
    (file,) = Path(folder).glob(f"reports/date=*/{report_id}.json")
    records = json.loads(file.read_bytes())["attendanceRecords"]
    people = pd.DataFrame(
        [
            {
                "id": record.get("id"),
                "name": (record.get("identity") or {}).get("displayName"),
                "seconds": record.get("totalAttendanceInSeconds"),
            }
            for record in records
        ],
        columns=["id", "name", "seconds"],
    )
    return _rows(people.sort_values(["seconds", "id"], ascending=[False, True]))


def per_organizer_and_week(folder: str) -> list[tuple[Any, ...]]:
    """Attendance per organizer and week: (organizer id, Monday, meetings, participants)."""
    index = pd.concat(_lines(file) for file in Path(folder).glob("manifests/date=*/reports.jsonl"))
    index = index.dropna(subset="organizerId")  # webinars and town halls have an event instead
    end = pd.to_datetime(index["end"], format="ISO8601", utc=True)
    index["week"] = (end.dt.normalize() - pd.to_timedelta(end.dt.day_of_week, unit="D")).dt.strftime(
        "%Y-%m-%d"
    )
    weeks = index.groupby(["organizerId", "week"])["participants"].agg(["size", "sum"]).reset_index()
    return _rows(weeks.astype({"sum": int}))


def late_joiners(folder: str, minutes: int = LATE) -> list[tuple[Any, ...]]:
    """Who joined later than that after the meeting began: (report id, record id, name, seconds late)."""
    files = table_files(folder, "attendees")
    if not files:
        return []
    table = pd.concat(map(pd.read_parquet, files))
    late = table["firstJoin"] - table["meetingStart"]
    table["seconds"] = late.dt.total_seconds()
    tardy = table.loc[
        late > pd.Timedelta(minutes=minutes), ["reportId", "recordId", "displayName", "seconds"]
    ]
    return _rows(tardy.round({"seconds": 0}).astype({"seconds": int}).sort_values(["reportId", "recordId"]))


def _lines(file: Path) -> pd.DataFrame:
    """Lines of JSON as they are: pandas must not take an id for a number, or a name for a date."""
    return pd.read_json(file, lines=True, dtype=False)


def _rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None))


if __name__ == "__main__":
    ask(sys.argv[1:], who_attended, per_organizer_and_week, late_joiners)
