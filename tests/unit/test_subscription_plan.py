"""The plan of a subscription run: keep, renew, replace, create or delete."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.delivery import notification_url
from shared.graph.subscriptions import Subscription
from shared.messages.signals import EventKind
from shared.settings import fingerprint, load
from shared.storage.watchlist import WatchedMeeting
from shared.subscriptions.desired import (
    EVENT_LIFETIME,
    LIFETIME,
    DesiredSubscription,
    event_subscription,
    fixed_subscriptions,
    meeting_subscriptions,
    parse_event_resource,
)
from shared.subscriptions.plan import Plan, plan_steps
from tests.support.app_settings import PREVIOUS_STATE, STATE

BASE = "https://app.azurewebsites.net/api"
SETTINGS = load(
    {
        "AttendanceStorage__blobServiceUri": "https://reports.blob.core.windows.net",
        "AzureWebJobsStorage__accountName": "jobs",
        "NOTIFICATION_BASE_URL": BASE,
        "MAINTAIN_SCHEDULE": "0 */15 * * * *",
        "SWEEP_SCHEDULE": "0 10 * * * *",
        "TENANT_ID": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "CLIENT_STATE": STATE,
        "CLIENT_STATE_PREVIOUS": PREVIOUS_STATE,
    }
)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALL_RECORDS = DesiredSubscription("communications/callRecords", "created")
CURRENT, PREVIOUS = fingerprint(STATE), fingerprint(PREVIOUS_STATE)


def at(key: str | None, base: str = BASE, route: str = "notifications") -> str:
    return f"{base}/{route}" + (f"?k={key}" if key else "")


def subscription(left: timedelta = LIFETIME, *, name: str = "s", key: str | None = CURRENT) -> Subscription:
    """A subscription of ours that lives for `left`."""
    lifecycle = at(key, route="lifecycle")
    return Subscription(name, "communications/callRecords", "created", at(key), lifecycle, NOW + left)


def steps(*existing: Subscription) -> Plan:
    return plan_steps(existing, fixed_subscriptions(SETTINGS), SETTINGS, NOW)


def test_call_records_are_desired() -> None:
    assert fixed_subscriptions(SETTINGS) == (CALL_RECORDS,)


def test_the_notification_address_carries_the_fingerprint_and_not_the_client_state() -> None:
    assert notification_url(SETTINGS) == f"{BASE}/notifications?k={CURRENT}"
    assert notification_url(SETTINGS, "lifecycle") == f"{BASE}/lifecycle?k={CURRENT}"


def test_where_there_is_none_one_is_created() -> None:
    assert steps() == Plan(create=(CALL_RECORDS,))


def test_a_young_one_is_kept() -> None:
    young = subscription(LIFETIME / 2)
    assert steps(young) == Plan(keep=(young,))


def test_one_past_half_of_its_life_is_renewed() -> None:
    due = subscription(LIFETIME / 2 - timedelta(seconds=1))
    assert steps(due) == Plan(renew=((due, CALL_RECORDS),))


@pytest.mark.parametrize("left", [timedelta(0), timedelta(hours=-1)])
def test_no_clock_decides_that_one_is_deleted_what_looks_expired_is_renewed(left: timedelta) -> None:
    expired = subscription(left)
    assert steps(expired) == Plan(renew=((expired, CALL_RECORDS),))


@pytest.mark.parametrize("key", [fingerprint("stranger"), CURRENT.upper(), CURRENT[:-1], None])
def test_one_whose_notifications_we_would_refuse_is_replaced(key: str | None) -> None:
    foreign = subscription(key=key)
    assert steps(foreign) == Plan(replace=((foreign, CALL_RECORDS),))


def test_one_with_the_previous_client_state_is_kept_until_its_renewal() -> None:
    before = subscription(key=PREVIOUS)
    assert steps(before) == Plan(keep=(before,))


def test_one_with_the_previous_client_state_is_replaced_when_its_renewal_is_due() -> None:
    before = subscription(LIFETIME / 3, key=PREVIOUS)
    assert steps(before) == Plan(replace=((before, CALL_RECORDS),))


def test_one_with_the_current_client_state_wins_over_one_that_lives_longer() -> None:
    before, current = subscription(key=PREVIOUS, name="p"), subscription(LIFETIME / 3, name="c")
    assert steps(before, current) == Plan(renew=((current, CALL_RECORDS),), delete=(before,))


@pytest.mark.parametrize("lifecycle", ["", "https://elsewhere.example/api/lifecycle", at(CURRENT)])
def test_one_without_our_lifecycle_address_is_replaced(lifecycle: str) -> None:
    lacking = replace(subscription(), lifecycle_url=lifecycle)
    assert steps(lacking) == Plan(replace=((lacking, CALL_RECORDS),))


@pytest.mark.parametrize(
    "url",
    [
        at(CURRENT, "https://other.azurewebsites.net/api"),
        at(CURRENT, "https://app.azurewebsites.net:8443/api"),
        at(CURRENT, "https://app.azurewebsites.net/other"),
        at(CURRENT, "http://app.azurewebsites.net/api"),
        "EventHub:https://ns.servicebus.windows.net/eventhubname/hub?tenantId=contoso.com",
        "https://[broken",
        "",
    ],
)
def test_one_at_another_address_is_left_alone(url: str) -> None:
    elsewhere = replace(subscription(), notification_url=url)
    assert steps(elsewhere) == Plan(create=(CALL_RECORDS,))


@pytest.mark.parametrize(
    "base", ["https://APP.azurewebsites.net/api", "https://app.azurewebsites.net:443/api", f"{BASE}/"]
)
def test_one_at_our_address_is_ours_however_it_is_written(base: str) -> None:
    same = replace(subscription(), notification_url=at(CURRENT, base.removesuffix("/")))
    assert steps(same).keep == (same,)


@pytest.mark.parametrize("resource", ["/communications/callRecords", "Communications/CallRecords/"])
def test_a_resource_is_the_same_in_another_casing_and_with_slashes(resource: str) -> None:
    same = replace(subscription(), resource=resource)
    assert steps(same) == Plan(keep=(same,))


@pytest.mark.parametrize(
    "changes", [{"change_type": "created,updated"}, {"resource": "communications/callRecords?$filter=x"}]
)
def test_one_of_ours_that_nobody_wants_is_deleted(changes: dict[str, str]) -> None:
    other = replace(subscription(), **changes)  # type: ignore[arg-type]
    assert steps(other) == Plan(create=(CALL_RECORDS,), delete=(other,))


def test_when_signals_no_longer_asks_for_call_records_theirs_is_deleted() -> None:
    existing = subscription()
    without = replace(SETTINGS, signals=frozenset())
    assert plan_steps([existing], fixed_subscriptions(without), without, NOW) == Plan(delete=(existing,))


def test_of_duplicates_the_one_that_lives_longest_stays() -> None:
    short, long, middle = (
        subscription(LIFETIME * part, name=name)
        for part, name in ((0.6, "short"), (0.9, "long"), (0.8, "middle"))
    )
    assert steps(short, long, middle) == Plan(keep=(long,), delete=(short, middle))


EXISTING = st.lists(
    st.builds(
        Subscription,
        id=st.uuids().map(str),
        resource=st.sampled_from(["communications/callRecords", "/Communications/callRecords", "users"]),
        change_type=st.sampled_from(["created", "updated"]),
        notification_url=st.builds(
            at,
            st.sampled_from([CURRENT, PREVIOUS, "00000000", None]),
            st.sampled_from([BASE, "https://other/api"]),
        ),
        lifecycle_url=st.sampled_from([at(CURRENT, route="lifecycle"), ""]),
        expires=st.integers(-60, 4_230).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    ),
    max_size=6,
    unique_by=lambda each: each.id,
)


@given(EXISTING)
def test_after_a_run_each_desired_subscription_exists_exactly_once(existing: list[Subscription]) -> None:
    todo = plan_steps(existing, fixed_subscriptions(SETTINGS), SETTINGS, NOW)
    assert len(todo.create) + len(todo.replace) + len(todo.renew) + len(todo.keep) == 1
    used = {*todo.keep, *(each for each, _ in (*todo.renew, *todo.replace))}
    ours = {each for each in existing if each.notification_url.startswith(BASE)}
    assert {*todo.delete} == ours - used
    assert used <= ours
    assert all(each.expires > NOW for each in todo.keep)
    assert all(each.lifecycle_url for each in (*todo.keep, *(one for one, _ in todo.renew)))
    topics = {(each.resource.strip("/").lower(), each.change_type) for each in ours}
    assert bool(todo.create) == ((CALL_RECORDS.resource.lower(), "created") not in topics)


@given(EXISTING)
def test_a_clock_alone_makes_the_plan_delete_nothing(existing: list[Subscription]) -> None:
    early, late = (
        plan_steps(existing, fixed_subscriptions(SETTINGS), SETTINGS, now)
        for now in (NOW, NOW + 9 * LIFETIME)
    )
    assert len(early.delete) == len(late.delete)


@given(EXISTING)
def test_the_order_of_graphs_list_does_not_matter(existing: list[Subscription]) -> None:
    forth, back = (
        plan_steps(existing, fixed_subscriptions(SETTINGS), SETTINGS, NOW),
        plan_steps(existing[::-1], fixed_subscriptions(SETTINGS), SETTINGS, NOW),
    )
    assert forth.create == back.create
    assert len(forth.replace) == len(back.replace)
    assert len(forth.delete) == len(back.delete)


# Of events and watched meetings


def test_for_virtual_events_the_tenants_events_are_wanted_for_a_day() -> None:
    both = replace(SETTINGS, signals=frozenset({"virtual-events"}))
    (want,) = fixed_subscriptions(both)
    assert (want.resource, want.change_type) == ("solutions/virtualEvents/events", "created")
    assert want.lifetime <= timedelta(days=1)


def test_the_reports_of_an_event_are_known_by_its_subscription() -> None:
    want = event_subscription(EventKind.TOWNHALL, "a@b")
    assert want == DesiredSubscription(
        "solutions/virtualEvents/townhalls/a@b/getAttendanceReports", "created", EVENT_LIFETIME
    )
    for resource in (want.resource, f"/{want.resource.upper().replace('@', '%40')}/"):
        assert parse_event_resource(resource) in ((EventKind.TOWNHALL, "a@b"), (EventKind.TOWNHALL, "A@B"))
    assert parse_event_resource("communications/callRecords") is None


def test_the_join_url_of_a_watched_meeting_is_encoded_once_more() -> None:
    watched = WatchedMeeting("https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0", "o")
    settings = replace(SETTINGS, signals=frozenset({"call-events"}))
    (want,) = meeting_subscriptions(settings, [watched])
    assert want.resource == (
        "communications/onlineMeetings(joinWebUrl='https%3A%2F%2Fteams.microsoft.com%2Fl%2Fmeetup-join%2F"
        "19%253ameeting_A%2540thread.v2%2F0')/meetingCallEvents"
    )
    assert (want.change_type, want.rich) == ("updated", True)
    assert meeting_subscriptions(SETTINGS, [watched]) == ()
