"""Three questions, answered with PySpark from a copy of the archive.

    attendance reports download FOLDER --what reports --what manifests --what tables
    python examples/pyspark_questions.py FOLDER

Needs Python 3.10 or newer, pyspark, and Java 17 or newer.

On a cluster, put `abfss://attendance@ACCOUNT.dfs.core.windows.net` in place of FOLDER.
"""

import sys
from functools import cache
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from questions import ask, table_files

LATE = 10  # minutes

# A schema that is told costs no pass over the files, and what a report lacks is null.
REPORT = """
    id STRING,
    attendanceRecords ARRAY<STRUCT<
        id: STRING, totalAttendanceInSeconds: BIGINT, identity: STRUCT<id: STRING, displayName: STRING>
    >>
"""
INDEX = "organizerId STRING, `end` TIMESTAMP, participants BIGINT"


@cache
def spark() -> SparkSession:
    """A session whose clock is UTC."""
    return (
        SparkSession.builder.appName("attendance")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )


def who_attended(folder: str, report_id: str) -> list[tuple[Any, ...]]:
    """Who attended a meeting and how long: (record id, name, seconds)."""
    reports = spark().read.schema(REPORT).json(f"{folder}/reports")
    record = f.explode("attendanceRecords").alias("record")
    people = reports.where(f.col("id") == report_id).select(record)
    seconds = f.col("record.totalAttendanceInSeconds").alias("seconds")
    chosen = people.select("record.id", f.col("record.identity.displayName").alias("name"), seconds)
    return _rows(chosen.orderBy(f.desc("seconds"), "id"))


def per_organizer_and_week(folder: str) -> list[tuple[Any, ...]]:
    """Attendance per organizer and week: (organizer id, Monday, meetings, participants)."""
    index = spark().read.schema(INDEX).json(f"{folder}/manifests/date=*/reports.jsonl")
    week = f.date_format(f.date_trunc("week", "end"), "yyyy-MM-dd").alias("week")
    weeks = index.where(f.col("organizerId").isNotNull()).groupBy("organizerId", week)
    counts = weeks.agg(f.count("*").alias("meetings"), f.sum("participants").alias("participants"))
    return _rows(counts.orderBy("organizerId", "week"))


def late_joiners(folder: str, minutes: int = LATE) -> list[tuple[Any, ...]]:
    """Who joined later than that after the meeting began: (report id, record id, name, seconds late)."""
    files = table_files(folder, "attendees")
    if not files:
        return []
    table = spark().read.parquet(*files)
    late = f.col("firstJoin").cast("double") - f.col("meetingStart").cast("double")
    tardy = table.where(late > minutes * 60)
    seconds = f.round(late).cast("bigint").alias("seconds")
    return _rows(tardy.select("reportId", "recordId", "displayName", seconds).orderBy("reportId", "recordId"))


def _rows(frame: DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.collect()]


if __name__ == "__main__":
    ask(sys.argv[1:], who_attended, per_organizer_and_week, late_joiners)
