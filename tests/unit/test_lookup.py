"""Meetings are found by link, subject, id and organizer, in the archive of an app on doubles."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from urllib.parse import quote

import pytest

from shared.archive.reports import ReportSummary, report_name
from shared.graph.join_urls import join_url_key
from shared.health import lookup
from shared.health.lookup import FoundMeeting, FoundMeetings, MeetingLookup, is_link, subject_of_report
from shared.ledger.record import AttemptSeries, Record, Result
from shared.messages.signals import Meeting, MeetingDetails
from tests.support.app_settings import TENANT
from tests.support.doubles import Call
from tests.support.simulated_app import DAY, HOUR, NOW, ORGANIZER, App, call, running

OTHER = "bbbbbbbb-0000-4000-8000-000000000000"
TODAY = NOW.date()
SHORT = "https://teams.microsoft.com/meet/2145678901234?p=AbC"


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def finder(app: App) -> MeetingLookup:
    services = app.services
    return MeetingLookup(services.journal.outcomes, services.journal.ledger, services.archive)


def link(organizer: str, thread: str = "19:meeting_Abc@thread.v2") -> str:
    """A classic join URL, as a call record has it."""
    context = quote(json.dumps({"Tid": TENANT, "Oid": organizer}), safe="")
    return f"https://teams.microsoft.com/l/meetup-join/{quote(thread, safe='')}/0?context={context}"


def at(made: Call, url: str) -> Call:
    return replace(made, record={**made.record, "joinWebUrl": url})


def guid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def archive(app: App, *calls: Call) -> None:
    """Announce these calls, and archive what there is."""
    app.calls += calls
    for each in calls:
        app.announce(each.id)
    app.run(hours=0.5, every=DAY)


def ids(found: FoundMeetings) -> list[str]:
    """The calls that were found, in order."""
    return [each.record.signal_id.removeprefix("cr-") for each in found.meetings if each.record]


def give_subject(app: App, call_id: str, details: object) -> None:
    """Add `details` to the metadata of a call's report, as base64url of JSON."""
    (blob,) = [each for each in app.container.below("reports/") if each.name.endswith(f"/{call_id}.json")]
    text = base64.urlsafe_b64encode(json.dumps(details).encode()).decode().rstrip("=")
    app.container.blobs[blob.name] = replace(blob, metadata={**blob.metadata, "details": text})


def test_a_meeting_is_found_by_any_copy_of_its_link(app: App) -> None:
    url = link(ORGANIZER)
    archive(app, at(call(guid(1), NOW - HOUR), url), call(guid(2), NOW - HOUR, organizer=OTHER))
    for copy in (url, url.upper(), quote(url, safe=""), f" <{url}> "):
        assert ids(finder(app).find(copy)) == [guid(1)]
    (found,) = finder(app).find(url).meetings
    assert found.record
    assert found.record.result is Result.STORED
    assert found.report
    assert found.report.id == guid(1)


def test_a_series_is_found_newest_first_and_one_day_of_it_alone(app: App) -> None:
    url = link(ORGANIZER)
    archive(app, *(at(call(guid(back), NOW - DAY * back), url) for back in range(1, 4)))
    assert ids(finder(app).find(url)) == [guid(1), guid(2), guid(3)]
    assert ids(finder(app).find(url, TODAY - 2 * DAY)) == [guid(2)]
    assert ids(finder(app).find(url, TODAY)) == []


def test_a_meeting_over_midnight_is_of_both_days(app: App) -> None:
    midnight = NOW.replace(hour=0)
    archive(app, at(call(guid(1), midnight + HOUR / 4), link(ORGANIZER)))
    for day in (TODAY - DAY, TODAY):
        assert ids(finder(app).find(link(ORGANIZER), day)) == [guid(1)]
    assert ids(finder(app).find(link(ORGANIZER), TODAY - 2 * DAY)) == []


def test_no_more_than_the_newest_sessions_are_shown(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MOST_SHOWN", 2)
    url = link(ORGANIZER)
    archive(app, *(at(call(guid(back), NOW - DAY * back), url) for back in range(1, 6)))
    found = finder(app).find(url)
    assert (ids(found), found.left) == ([guid(1), guid(2)], 3)


@pytest.mark.parametrize("form", ["cr-{}", "{}"])
def test_a_signal_and_its_call_are_found_by_id(app: App, form: str) -> None:
    archive(app, call(guid(1), NOW - HOUR))
    assert ids(finder(app).find(form.format(guid(1)))) == [guid(1)]
    assert ids(finder(app).find(form.format(guid(1).upper() if form == "{}" else guid(1)))) == [guid(1)]
    assert ids(finder(app).find(form.format(guid(2)))) == []


def test_a_report_leads_to_its_own_session(app: App) -> None:
    """Two sessions of a meeting; their reports have ids of their own."""
    url = link(ORGANIZER)
    made = [at(call(guid(number), NOW - number * HOUR * 3), url) for number in (1, 2)]
    renamed = [
        replace(
            each,
            readings=tuple((since, {**report, "id": guid(90 + number)}) for since, report in each.readings),
        )
        for number, each in enumerate(made, start=1)
    ]
    archive(app, *renamed)
    assert ids(finder(app).find(guid(92))) == [guid(2)]


def test_a_report_without_a_signal_is_found_alone(app: App) -> None:
    archive(app, call(guid(1), NOW - HOUR))
    for store in (app.container, app.state):
        for blob in [*store.below("outcomes/"), *store.below("signals/")]:
            del store.blobs[blob.name]
    (found,) = finder(app).find(guid(1)).meetings
    assert found.record is None
    assert found.report
    assert found.report.name == report_name(guid(1), NOW - HOUR)


def test_a_meeting_is_found_by_a_part_of_its_subject(app: App) -> None:
    url = link(ORGANIZER)
    made = [at(call(guid(number), NOW - number * HOUR), url) for number in (1, 2)]
    waiting = replace(made[1], readings=())  # its report is not there yet
    archive(app, made[0], waiting, call(guid(3), NOW - HOUR, organizer=OTHER))
    give_subject(app, guid(1), {"subject": "Quartalszahlen für ALLE"})
    give_subject(app, guid(3), {"subject": "Weekly"})
    found = finder(app).find("zahlen FÜR alle")
    assert ids(found) == [guid(1), guid(2)], "also the session that has no report yet"
    assert found.meetings[0].subject == "Quartalszahlen für ALLE"
    assert ids(finder(app).find("weekly", TODAY)) == [guid(3)]
    assert finder(app).find("monthly") == FoundMeetings()


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Cafe\u0301 am  Morgen", "café am morgen"),
        ("STRASSE", "straße"),
        ("Weekly\u200b planning", "weekly planning"),
        ("Weekly\nplanning", "  weekly   planning "),
    ],
)
def test_a_subject_is_found_however_its_letters_and_spaces_are_written(subject: str, text: str) -> None:
    assert lookup.has_subject(subject, text)
    assert not lookup.has_subject(subject, "other")
    assert not lookup.has_subject(subject, "\u200b ")
    assert not lookup.has_subject(None, text)


def test_a_record_tells_the_subject_of_a_meeting_without_a_report() -> None:
    details = MeetingDetails("Weekly planning")
    record = Record("cr-1", Result.PENDING, NOW, 1, AttemptSeries(NOW), meeting=Meeting(details=details))
    assert FoundMeeting(record).subject == "Weekly planning"
    assert FoundMeeting(replace(record, meeting=Meeting())).subject is None


def test_a_subject_is_found_on_one_day_alone(app: App) -> None:
    url = link(ORGANIZER)
    archive(app, *(at(call(guid(back), NOW - DAY * back), url) for back in range(1, 4)))
    for back in range(1, 4):
        give_subject(app, guid(back), {"subject": "Weekly"})
    assert ids(finder(app).find("weekly")) == [guid(1), guid(2), guid(3)]
    assert ids(finder(app).find("weekly", TODAY - 2 * DAY)) == [guid(2)]


def test_a_meeting_is_found_by_its_own_id_and_its_series(app: App) -> None:
    archive(app, call(guid(1), NOW - HOUR))
    (report,) = app.services.archive.list_reports(TODAY)
    for name in ("meetingid", "seriesid"):
        assert ids(finder(app).find(report.metadata[name])) == [guid(1)]


@pytest.mark.parametrize(
    "details", ["", "!", "eA", "W10", "e30", "eyJzdWJqZWN0Ijo3fQ", "eyJzdWJqZWN0IjoiIn0", "é"]
)
def test_details_that_cannot_be_read_are_no_subject(details: str) -> None:
    assert (
        subject_of_report(ReportSummary("r", "reports/date=2026-11-24/r.json", 1, {"details": details}))
        is None
    )


def test_an_organizers_meetings_of_a_day_are_found(app: App) -> None:
    mine = [
        at(call(guid(1), NOW - HOUR), link(ORGANIZER)),
        at(call(guid(2), NOW - 2 * HOUR), SHORT),  # which does not name the organizer
        at(call(guid(3), NOW - DAY), link(ORGANIZER, "19:meeting_other@thread.v2")),
    ]
    archive(app, *mine, at(call(guid(4), NOW - HOUR, organizer=OTHER), link(OTHER)))
    assert ids(finder(app).find(ORGANIZER, TODAY)) == [guid(1), guid(2)]
    assert ids(finder(app).find(ORGANIZER.upper(), TODAY - DAY)) == [guid(3)]
    assert ids(finder(app).find(ORGANIZER)) == []


def test_on_a_huge_day_those_whose_link_names_the_organizer_are_read_first(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MOST_READ", 1)
    others = (
        at(call(guid(number), NOW - HOUR, organizer=OTHER), link(OTHER, guid(number))) for number in (1, 2)
    )
    archive(app, *others, at(call(guid(3), NOW - HOUR), link(ORGANIZER)))
    found = finder(app).find(ORGANIZER, TODAY)
    assert (ids(found), found.unread) == ([guid(3)], 2)


def test_a_signal_whose_record_is_gone_is_told_from_its_outcome(app: App) -> None:
    archive(app, at(call(guid(1), NOW - HOUR), link(ORGANIZER)))
    for blob in app.state.below("signals/"):
        del app.state.blobs[blob.name]
    (found,) = finder(app).find(link(ORGANIZER)).meetings
    assert found.record
    assert found.record.result is Result.STORED


def test_blobs_of_others_are_passed_over(app: App) -> None:
    archive(app, at(call(guid(1), NOW - HOUR), link(ORGANIZER)))
    for name, metadata in (
        (f"outcomes/date={TODAY}/notes.json", {"joinurlkey": "%ff"}),
        (f"outcomes/date={TODAY}/more.json", {"joinurlkey": join_url_key(link(ORGANIZER))}),
        (f"reports/date={TODAY}/notes%ff.txt", {"x": "%ff"}),
    ):
        app.container.upload_blob(name, b"{}", overwrite=True, metadata=metadata)
    for text in (link(ORGANIZER), guid(1)):
        assert guid(1) in ids(finder(app).find(text))
    assert finder(app).find("Weekly") == FoundMeetings()


def test_a_pending_meeting_is_read_again(app: App) -> None:
    ready = NOW + 2 * HOUR
    archive(app, at(call(guid(1), NOW - HOUR, ready=ready), link(ORGANIZER)))
    found = finder(app).find(link(ORGANIZER))
    assert [each.record.result for each in found.meetings if each.record] == [Result.PENDING]
    app.run(hours=4, every=DAY)
    found = finder(app).refresh(found.meetings)
    assert [each.record.result for each in found.meetings if each.record] == [Result.STORED]
    assert found.meetings[0].report


def test_nothing_is_written_to_find_a_meeting(app: App) -> None:
    archive(app, at(call(guid(1), NOW - HOUR), link(ORGANIZER)))
    give_subject(app, guid(1), {"subject": "Weekly"})
    before = dict(app.container.blobs), dict(app.state.blobs)
    messages = list(app.queues["upkeep"].messages)
    for text in (link(ORGANIZER), guid(1), "Weekly"):
        assert finder(app).find(text).meetings
    assert finder(app).find(ORGANIZER, TODAY).meetings
    assert (app.container.blobs, app.state.blobs) == before
    assert app.queues["upkeep"].messages == messages


def test_which_texts_are_links_and_which_days_are_searched(app: App) -> None:
    assert is_link("https%3A%2F%2Fteams.microsoft.com%2Fmeet%2F1")
    assert not is_link("Weekly: https")
    assert lookup.searched_days(date(2026, 11, 30)) == [date(2026, 11, 30), date(2026, 12, 1)]
    days = lookup.searched_days(None)
    assert (days[0], days[-1], len(days)) == (TODAY, TODAY - timedelta(days=30), 31)
