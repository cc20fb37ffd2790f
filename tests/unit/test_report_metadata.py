"""The metadata of reports and outcomes: facts, encoded for headers, within what storage takes."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.archive.reports import MAX_METADATA, fit_headers, report_metadata
from shared.graph.join_urls import join_url_key
from shared.graph.reports import MeetingReports, Report
from shared.ledger.record import AttemptSeries, Record, Result, outcome_metadata
from shared.messages.signals import Meeting
from shared.storage.names import MAX_HEADER, decode_name_part

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
URL = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0?context=%7B%22Tid%22%3A%22t%22%7D"
)
REPORT = Report("r", NOW, NOW, 1, 1, False, "0" * 64, io.BytesIO(), 0, NOW)
RECORD = Record("cr-a", Result.STORED, NOW, 1, AttemptSeries(NOW))


def test_the_key_of_a_link_survives_the_headers() -> None:
    told = report_metadata(REPORT, MeetingReports("o", "m", URL))
    assert decode_name_part(told["joinurlkey"]) == join_url_key(URL)
    outcome = outcome_metadata(replace(RECORD, meeting=Meeting(NOW, NOW, URL)))
    assert decode_name_part(outcome["joinurlkey"]) == join_url_key(URL)
    assert "joinurlkey" not in outcome_metadata(RECORD)


@given(st.text(st.characters(exclude_categories=()), max_size=900))
def test_whatever_a_link_holds_its_metadata_are_headers_that_storage_takes(text: str) -> None:
    told = report_metadata(REPORT, MeetingReports("o", "m", f"https://t/{text}"))
    told |= outcome_metadata(replace(RECORD, meeting=Meeting(NOW, NOW, f"https://t/{text}")))
    for value in told.values():
        assert all("!" <= each <= "~" for each in value)


@pytest.mark.parametrize("length", [10, 1_300, 1_400, 2_048])
def test_long_links_never_cost_the_report(length: int) -> None:
    told = report_metadata(REPORT, MeetingReports("o" * 36, "m" * 1_000, "https://t/" + "\u00e4" * length))
    assert sum(len(key) + len(value) for key, value in told.items()) <= MAX_METADATA
    assert max(map(len, told.values())) <= MAX_HEADER
    assert {"source", "sha256", "end", "meetingid", "seriesid"} <= told.keys()


def test_the_longest_values_go_first() -> None:
    values = {"a": "x" * 4_000, "b": "x" * 3_000, "c": "x" * 2_000, "d": "", "e": "x" * (MAX_HEADER + 1)}
    assert fit_headers(values).keys() == {"b", "c"}
