"""Webinars and town halls: each report of each session is stored once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from local.simulator.control.client import EventMade, SessionMade
from local.simulator.tenant.orders import NewEvent, NewMeeting, NewSession
from local.stack.compose import Stack
from shared.graph.join_urls import join_url_key, series_id
from tests.support.front import Front, eventually, noon, own_stack

stack = own_stack(SIGNALS="call-records,virtual-events")

EVENTS = "solutions/virtualEvents/events"


@pytest.fixture(scope="module", autouse=True)
def subscribed(stack: Stack) -> None:
    front = Front(stack)
    front.run("maintain_subscriptions")
    eventually(lambda: len(front.control.subscriptions()) == 2, "both subscriptions")


def resources(front: Front) -> list[str]:
    return [each["resource"].strip("/") for each in front.control.subscriptions()]


def announced(front: Front, order: NewEvent | None = None) -> EventMade:
    """An event, once the app has a subscription to its reports."""
    event = front.control.add_event(order)
    wanted = f"{event.path}/getAttendanceReports"
    eventually(lambda: wanted in resources(front), f"a subscription to {wanted}")
    return event


def held(front: Front, event: EventMade, session: int = 0, **fields: Any) -> SessionMade:
    order = {"announce": False, "announce_report": True} | fields
    return front.control.add_session(NewSession(meeting_id=event.sessions[session].meeting_id, **order))


def stored(front: Front, made: SessionMade) -> dict[str, Any]:
    return front.outcome(made.report_id, "stored", prefix="ve-")


def said(value: Any) -> Any:
    """What a report says, without annotations."""
    if isinstance(value, dict):
        return {key: said(item) for key, item in value.items() if "@odata." not in key}
    return [said(item) for item in value] if isinstance(value, list) else value


def is_true(front: Front, report_id: str, report: dict[str, Any]) -> bool:
    return bool(said(report) == said(json.loads(front.control.true_report(report_id))))


def blob_of(front: Front, report_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    (name,) = front.reports(report_id)
    blob = front.container.download_blob(name)
    return json.loads(blob.readall()), blob.properties.metadata


@pytest.mark.parametrize("kind", ["webinar", "townhall"])
def test_a_report_that_is_announced_is_stored_as_the_events_own(front: Front, kind: Any) -> None:
    event = announced(front, NewEvent(kind=kind))
    made = held(front, event, participants=7)
    outcome = stored(front, made)
    assert (outcome["source"], outcome["eventId"], outcome["sessionId"]) == (
        kind, event.event_id, event.sessions[0].session_id,
    )  # fmt: skip
    assert outcome["organizerId"] == event.organizer_id
    report, metadata = blob_of(front, made.report_id)
    assert is_true(front, made.report_id, report)
    assert len(report["attendanceRecords"]) == 7
    assert (metadata["source"], metadata["eventid"]) == (kind, event.event_id)
    assert metadata["sessionid"] == event.sessions[0].session_id


def test_it_costs_two_calls(front: Front) -> None:
    event = announced(front)
    front.control.clear_calls()
    stored(front, held(front, event))
    calls = [call for call in front.calls() if "/subscriptions" not in call]
    assert len(calls) == 2, calls


def test_each_session_and_each_restart_has_a_report_of_its_own(front: Front) -> None:
    event = announced(front, NewEvent(sessions=2))
    made = [held(front, event), held(front, event), held(front, event, 1)]
    for each in made:
        stored(front, each)
    assert len({each.report_id for each in made}) == 3
    for each in made:
        assert len(front.reports(each.report_id)) == 1


def test_a_report_that_nobody_announced_is_found_by_the_sweep(front: Front) -> None:
    event = front.control.add_event(NewEvent(announce=False))
    made = held(front, event, announce_report=False)
    front.sweep()
    assert stored(front, made)["firstSeen"] > ""
    eventually(lambda: f"{event.path}/getAttendanceReports" in resources(front), "its subscription")


def test_a_second_look_signals_nothing_again(front: Front) -> None:
    event = announced(front)
    stored(front, held(front, event))
    front.sweep()  # finds the call record of the event's session
    assert front.sweep().get("missing", 0) == 0


def test_the_same_session_told_by_call_record_report_and_sweep_is_one_report_of_the_event(
    front: Front,
) -> None:
    event = announced(front, NewEvent(meeting_view="different"))
    made = held(front, event, announce=True, participants=4)
    front.notify(made.call_id)
    front.sweep()
    stored(front, made)
    front.outcome(made.call_id, "stored")
    front.notify(made.call_id)  # its meeting's view never replaces the event's
    report, metadata = blob_of(front, made.report_id)
    assert metadata["source"] == "webinar"
    assert is_true(front, made.report_id, report)


def test_sessions_keep_meeting_and_link_beside_event_and_session_ids(front: Front) -> None:
    """Whether the call record or the event's own report is read first, and after a backfill."""
    end = noon(3)  # a day of its own, so that the backfill finds nothing else
    views: tuple[Any, ...] = ("same", "different", "same")
    events = [front.control.add_event(NewEvent(announce=False, meeting_view=view)) for view in views]
    made = [
        held(front, each, announce_report=False, start=end - timedelta(minutes=30), end=end)
        for each in events
    ]
    call_first = made[:2]
    for each in call_first:
        front.notify(each.call_id)
        front.outcome(each.call_id, "stored")
    day = f"{end:%Y-%m-%d}"
    front.ask("backfill", start=f"{day}T00:00:00Z", end=f"{day}T23:59:59Z")
    for each in made:
        stored(front, each)
        front.notify(each.call_id)
        front.outcome(each.call_id, "stored")

    def known() -> list[dict[str, str]] | None:
        found = [blob_of(front, each.report_id)[1] for each in made]
        return found if all({"meetingid", "eventid"} <= each.keys() for each in found) else None

    before = eventually(known, "the facts of both")
    for event, metadata in zip(events, before, strict=True):
        session = event.sessions[0]
        assert {
            "source": "webinar",
            "eventid": event.event_id,
            "sessionid": session.session_id,
            "organizerid": event.organizer_id,
            "meetingid": session.meeting_id,
            "joinweburl": session.join_web_url,
            "joinurlkey": join_url_key(session.join_web_url),
            "seriesid": series_id(session.join_web_url),
        }.items() <= {key: unquote(value) for key, value in metadata.items()}.items()
    attempts = [front.outcome(each.call_id, "stored")["attempt"] for each in made]
    front.ask("backfill", start=f"{day}T00:00:00Z", end=f"{day}T23:59:59Z")
    eventually(
        lambda: all(
            front.outcome(each.call_id, "stored")["attempt"] > attempt
            for each, attempt in zip(made, attempts, strict=True)
        ),
        "another attempt at each",
    )
    assert known() == before


def test_a_report_that_was_announced_carries_the_link_of_its_session(front: Front) -> None:
    event = announced(front)
    made = held(front, event)
    assert stored(front, made)["joinWebUrl"] == event.sessions[0].join_web_url
    _, metadata = blob_of(front, made.report_id)
    assert metadata["seriesid"] == series_id(event.sessions[0].join_web_url)


def test_an_organizer_without_access_is_named_and_taken_up_once_he_has_it(front: Front) -> None:
    event = announced(front)
    front.control.deny(event.organizer_id)
    made = held(front, event)
    front.outcome(made.report_id, "pending", prefix="ve-")
    front.control.deny(event.organizer_id, denied=False)
    day = front.outcomes(made.report_id, "ve-")[0]["name"].split("date=")[1][:10]
    front.ask("redrive", outcomes=["pending"], start=day, end=day)
    stored(front, made)


def test_a_report_that_is_late_is_waited_for(front: Front) -> None:
    event = announced(front)
    made = held(front, event, report_announce_delay=-3.0, report_delay=3.0)
    assert stored(front, made)["attempt"] > 1


def test_an_event_that_is_over_loses_its_subscription(front: Front) -> None:
    event = announced(front)
    wanted = f"{event.path}/getAttendanceReports"
    (there,) = [each for each in front.control.subscriptions() if each["resource"].strip("/") == wanted]
    front.control.change_event(event.event_id, status="canceled")
    front.control.change_subscription(
        there["id"], notificationUrl=there["notificationUrl"].replace("?k=", "?k=0")
    )
    front.run("maintain_subscriptions")
    eventually(lambda: wanted not in resources(front), "the subscription to go")


def test_the_subscription_of_an_event_is_renewed_while_it_goes_on(front: Front) -> None:
    event = announced(front)

    def there() -> dict[str, Any]:
        wanted = f"{event.path}/getAttendanceReports"
        (found,) = [each for each in front.control.subscriptions() if each["resource"].strip("/") == wanted]
        return found

    soon = datetime.now(UTC) + timedelta(hours=2)
    front.control.change_subscription(there()["id"], expiration=f"{soon:%Y-%m-%dT%H:%M:%SZ}")
    before = there()
    front.run("maintain_subscriptions")
    eventually(lambda: there()["expiration"] > before["expiration"], "the renewal")
    assert there()["id"] == before["id"]


def test_a_subscription_with_another_client_state_is_made_anew_while_the_event_goes_on(front: Front) -> None:
    event = announced(front)
    wanted = f"{event.path}/getAttendanceReports"
    (there,) = [each for each in front.control.subscriptions() if each["resource"].strip("/") == wanted]
    front.control.change_subscription(
        there["id"], notificationUrl=there["notificationUrl"].replace("?k=", "?k=0")
    )
    front.run("maintain_subscriptions")

    def anew() -> bool:
        found = [each for each in front.control.subscriptions() if each["resource"].strip("/") == wanted]
        return [each["id"] for each in found] != [there["id"]] and len(found) == 1

    eventually(anew, "another subscription")


def test_a_meeting_beside_them_is_archived_as_ever(front: Front) -> None:
    made = front.session(NewMeeting())
    front.notify(made.call_id)
    assert front.outcome(made.call_id, "stored")["source"] is None


# The last, because the tables of its day are written anew with each sweep.
def test_a_report_of_20_000_people_is_stored_whole(front: Front) -> None:
    event = announced(front, NewEvent(kind="townhall"))
    made = held(front, event, participants=20_000)
    stored(front, made)
    report, _ = blob_of(front, made.report_id)
    assert len({each["id"] for each in report["attendanceRecords"]}) == 20_000
