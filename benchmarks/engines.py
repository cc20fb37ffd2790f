"""One question to the table of attendees, asked with every engine that can be had.

For each report: attendees, different people, seconds of presence, those who attended 80 % and more, those who came
late, and the seconds of all stays, which are nested. Each engine gets the files that the manifests name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

type Answer = list[tuple[str, int, int, int, int, int, int]]
ENOUGH = 0.8

SQL = """
SELECT
    reportId, count(*) AS attendees, count(DISTINCT personKey) AS people,
    CAST(coalesce(sum(netSeconds), 0) AS BIGINT) AS netSeconds,
    count(CASE WHEN attendedShare >= {enough} THEN 1 END) AS enough,
    count(CASE WHEN lateSeconds > 0 THEN 1 END) AS late,
    CAST(coalesce(sum(({stays})), 0) AS BIGINT) AS stays
FROM {table} GROUP BY reportId ORDER BY reportId
"""


def ask_duckdb(files: Sequence[str]) -> Answer:
    """Ask DuckDB."""
    import duckdb

    stays = "list_sum(list_transform(intervals, lambda stay: stay.seconds))"
    sql = SQL.format(enough=ENOUGH, stays=stays, table="read_parquet($files)")
    return duckdb.connect().execute(sql, {"files": list(files)}).fetchall()


def ask_polars(files: Sequence[str]) -> Answer:
    """Ask polars."""
    import polars as pl

    stays = pl.col("intervals").list.eval(pl.element().struct.field("seconds")).list.sum()
    table = pl.scan_parquet(list(files), hive_partitioning=False).group_by("reportId")
    answer = table.agg(
        pl.len(),
        pl.col("personKey").drop_nulls().n_unique(),
        pl.col("netSeconds").sum().alias("net"),
        (pl.col("attendedShare") >= ENOUGH).sum().alias("enough"),
        (pl.col("lateSeconds") > 0).sum().alias("late"),
        stays.sum().alias("stays"),
    )
    return answer.sort("reportId").collect().rows()


def ask_pandas(files: Sequence[str]) -> Answer:
    """Ask pandas."""
    import pandas as pd

    table = pd.concat(pd.read_parquet(file, partitioning=None) for file in files)
    table["enough"] = table["attendedShare"] >= ENOUGH
    table["late"] = table["lateSeconds"] > 0
    table["stays"] = [sum(stay["seconds"] for stay in stays) for stays in table["intervals"]]
    answer = table.groupby("reportId", sort=True).agg(
        attendees=("recordNumber", "size"),
        people=("personKey", "nunique"),
        net=("netSeconds", "sum"),
        enough=("enough", "sum"),
        late=("late", "sum"),
        stays=("stays", "sum"),
    )
    return [(str(report), *map(int, row)) for report, *row in answer.itertuples()]  # type: ignore[misc]


def ask_pyarrow(files: Sequence[str]) -> Answer:
    """Ask pyarrow."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    table = ds.dataset(list(files), format="parquet").to_table().combine_chunks()
    seconds = pc.list_flatten(table["intervals"])
    of_row = pa.table(
        {
            "row": pc.list_parent_indices(table["intervals"]),
            "seconds": pc.struct_field(seconds, "seconds"),
        }
    )
    sums = dict(
        zip(
            *(
                of_row.group_by("row").aggregate([("seconds", "sum")])[name].to_pylist()
                for name in ("row", "seconds_sum")
            ),
            strict=True,
        )
    )
    stays = pa.array([sums.get(row, 0) for row in range(table.num_rows)], pa.int64())
    asked = pa.table(
        {
            "reportId": table["reportId"],
            "person": table["personKey"],
            "net": pc.fill_null(table["netSeconds"], 0),
            "enough": pc.cast(pc.fill_null(pc.greater_equal(table["attendedShare"], ENOUGH), False), "int64"),
            "late": pc.cast(pc.fill_null(pc.greater(table["lateSeconds"], 0), False), "int64"),
            "stays": stays,
        }
    )
    only_valid = pc.CountOptions(mode="only_valid")
    answer = asked.group_by("reportId").aggregate(
        [
            ("reportId", "count"),
            ("person", "count_distinct", only_valid),
            *((name, "sum") for name in ("net", "enough", "late", "stays")),
        ]
    )
    names = [
        "reportId",
        "reportId_count",
        "person_count_distinct",
        "net_sum",
        "enough_sum",
        "late_sum",
        "stays_sum",
    ]
    rows = answer.select(names).sort_by("reportId").to_pylist()
    return [tuple(row[name] for name in names) for row in rows]


@cache
def spark() -> Any:
    """A Spark session, which takes seconds to start."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("tables").config("spark.sql.session.timeZone", "UTC")
    return session.config("spark.ui.enabled", "false").getOrCreate()


def ask_pyspark(files: Sequence[str]) -> Answer:
    """Ask Spark."""
    spark().read.parquet(*files).createOrReplaceTempView("attendees")
    stays = "aggregate(intervals, CAST(0 AS BIGINT), (sum, stay) -> sum + stay.seconds)"
    return [
        tuple(row) for row in spark().sql(SQL.format(enough=ENOUGH, stays=stays, table="attendees")).collect()
    ]


ENGINES: dict[str, Callable[[Sequence[str]], Answer]] = {
    "duckdb": ask_duckdb,
    "polars": ask_polars,
    "pandas": ask_pandas,
    "pyarrow": ask_pyarrow,
    "pyspark": ask_pyspark,
}


def types_of(engine: str, files: Sequence[str]) -> dict[str, str]:
    """The type that an engine reads each flat column with, in its own words."""
    if engine == "duckdb":
        import duckdb

        found = (
            duckdb.connect()
            .execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [list(files)])
            .fetchall()
        )
        return {name: kind for name, kind, *_ in found}
    if engine == "polars":
        import polars as pl

        schema = pl.scan_parquet(list(files), hive_partitioning=False).collect_schema()
        return {name: str(kind) for name, kind in schema.items()}
    if engine == "pandas":
        import pandas as pd

        return {name: str(kind) for name, kind in pd.read_parquet(files[0], partitioning=None).dtypes.items()}
    if engine == "pyarrow":
        import pyarrow.dataset as ds

        return {field.name: str(field.type) for field in ds.dataset(list(files), format="parquet").schema}
    return dict(spark().read.parquet(*files).dtypes)
