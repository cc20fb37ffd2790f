"""Properties of Graph's reports that this version does not know: archived, and told once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.archive.reports import report_metadata
from shared.graph.known_properties import MOST
from shared.graph.reports import MeetingReports
from shared.storage.heartbeat import PROPERTIES, Heartbeat
from tests.support.simulated_app import App, running
from tests.unit.test_report_reading import RECORDS, head, paged, record, whole

WHERE = MeetingReports("0a0b0c0d-0000-4000-8000-000000000001", "MSo+/w==", "")


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    lines = [json.loads(each.message) for each in caplog.records if "properties.unknown" in each.message]
    return [each["properties"] for each in lines]


def test_a_report_of_today_has_none() -> None:
    report, _ = whole(paged(head(**{RECORDS: [record(1), record(2)]}), 1))
    assert report.unknown == frozenset()


@pytest.mark.parametrize("size", [1, 5])
def test_unknown_properties_are_kept_and_named(size: int) -> None:
    odd = {"weather": 1, "megan@contoso.com": 2, "a b": 3, RECORDS: [record(1), record(2) | {"mood": None}]}
    report, body = whole(paged(head(**odd), size))
    assert report.unknown == {"weather", "(odd name)", "attendanceRecords/mood"}
    assert (json.loads(body)["weather"], json.loads(body)[RECORDS][1]["mood"]) == (1, None)


@pytest.mark.parametrize("size", [1, 5])
def test_any_number_of_names_is_bounded(size: int) -> None:
    odd = {f"name{number}": 1 for number in range(99)}
    report, _ = whole(paged(head(**odd, **{RECORDS: [record(1) | odd]}), size))
    assert len(report.unknown) == MOST
    assert len(report_metadata(report, WHERE)["unknownproperties"]) < 200


def test_each_is_logged_once_by_all_instances(app: App, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "attendance")
    one, other = (Heartbeat(app.services.state) for _ in range(2))
    one.note_unknown({"weather"})
    one.note_unknown({"weather"})
    other.note_unknown({"weather", "attendanceRecords/mood"})
    assert told(caplog) == [["weather"], ["attendanceRecords/mood"]]
    recorded = app.services.state.read(PROPERTIES)
    assert recorded
    assert recorded.content["properties"] == ["weather", "attendanceRecords/mood"]
