"""Notifications: ours become signals and tasks, others are dropped and counted."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.doors.notifications import ParsedNotifications, parse_notifications
from shared.errors import NotANotification
from shared.messages.rich_notifications import EncryptedBatch, RichItem
from shared.messages.signals import (
    EventKind,
    EventSession,
    call_record_news,
    report_news,
    subject_of,
)
from shared.messages.tasks import MaintainSubscriptions, SubscribeEvent, Task
from shared.settings import load
from tests.support.app_settings import ENVIRON, PREVIOUS_STATE, STATE, TENANT

EVENTS = Path(__file__).parents[1] / "events"

SETTINGS = load(ENVIRON)
SEEN = datetime(2026, 11, 23, 10, 12, tzinfo=UTC)
SEALED = {"data": "A", "dataKey": "B", "dataSignature": "C", "encryptionCertificateId": "D"}
NEIGHBOUR = "7a1f2b3c-0000-4000-8000-0000000000aa"
CALL = "e523d2ed-2966-4b6b-925b-754a88034cc5"
SUBSCRIPTION = "5522bd62-7c96-4530-85b0-00b916f6151a"


def body(*items: object) -> bytes:
    return json.dumps({"value": items}).encode()


def item(**changes: object) -> dict[str, Any]:
    """The item of events/call-record-created.json with changes; None removes."""
    content = json.loads((EVENTS / "call-record-created.json").read_bytes())["value"][0] | changes
    return {name: value for name, value in content.items() if value is not None}


def received(*items: object) -> ParsedNotifications:
    return parse_notifications(body(*items), SETTINGS, SEEN)


def call_ids(found: ParsedNotifications) -> list[str]:
    return [subject_of(news.signal_id) for news in found.signals]


def test_a_created_call_record_becomes_a_signal() -> None:
    found = parse_notifications(
        (EVENTS / "call-record-created.json").read_bytes(), SETTINGS, SEEN, traceparent="t"
    )
    assert found.signals == (call_record_news(CALL, SEEN, subscription_id=SUBSCRIPTION, traceparent="t"),)
    assert found.signals[0].signal_id == f"cr-{CALL}"
    assert (found.tasks, found.dropped) == ((), {})


def test_a_batch_of_several_subscriptions_and_tenants_is_sorted_item_by_item() -> None:
    found = parse_notifications((EVENTS / "batch-of-several-subscriptions.json").read_bytes(), SETTINGS, SEEN)
    assert call_ids(found) == [CALL, "a6d0b8f1-33d4-4ed7-9f5c-0c8b1f1a2d3e"]
    assert found.dropped == {"clientState": 1, "tenant": 1}


def test_lifecycle_events_and_changes_may_share_a_body() -> None:
    found = parse_notifications(
        (EVENTS / "lifecycle-mixed.json").read_bytes(), SETTINGS, SEEN, traceparent="t"
    )
    assert found.tasks == (Task(MaintainSubscriptions((SUBSCRIPTION,)), "t"),)
    assert call_ids(found) == [CALL]
    assert found.dropped == {"clientState": 1}


def test_a_repeated_item_gives_one_signal() -> None:
    assert call_ids(received(item(), item(changeType="updated"), item())) == [CALL]


EVERY_SIGNAL = {
    "SIGNALS": "call-records,virtual-events,call-events",
    "ENCRYPTION_KEY_ID": "key.pem",
    "AZURE_CLIENT_ID": "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68",
}
ALL = load(ENVIRON | EVERY_SIGNAL)
JOIN = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_A%40thread.v2/0?context=%7b%7d"
REPORT = "solutions/virtualEvents/webinars/e@t/sessions/s/attendanceReports/r"


def news(resource: str, **data: object) -> ParsedNotifications:
    about = item(resource=resource, resourceData=data)
    return parse_notifications(body(about), ALL, SEEN)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "address",
    [
        REPORT,
        f"/{REPORT}/",
        REPORT.replace("e@t", "e%40t"),
        REPORT.upper().replace("E@T", "e@t").replace("/S/", "/s/")[:-1] + "r",
    ],
)
def test_a_report_that_is_ready_becomes_a_signal(slash: str, address: str) -> None:
    found = news(
        f"{slash}solutions/virtualEvents/webinars/e@t/getAttendanceReports", **{"@odata.id": address}
    )
    session = EventSession(EventKind.WEBINAR, "e@t", "s")
    assert found.signals == (report_news("r", session, SEEN, subscription_id=SUBSCRIPTION),)


@pytest.mark.parametrize("name", ["@odata.id", "id"])
@pytest.mark.parametrize(
    "path",
    [
        "solutions/virtualEvents/townhalls/e@t",
        "/solutions/virtualEvents/townhalls/e@t/",
        "solutions/virtualEvents/townhalls('e@t')",
    ],
)
def test_a_new_event_is_to_be_subscribed_to(name: str, path: str) -> None:
    found = news("solutions/virtualEvents/events/", **{name: path})
    assert found.tasks == (Task(SubscribeEvent(EventKind.TOWNHALL, "e@t")),)


@pytest.mark.parametrize(
    ("resource", "data"),
    [
        ("solutions/virtualEvents/webinars/e/getAttendanceReports", {}),
        ("solutions/virtualEvents/webinars/e/getAttendanceReports", {"@odata.id": "https://example.com/a"}),
        ("solutions/virtualEvents/webinars/e/getAttendanceReports", {"@odata.id": f"{REPORT}/../x"}),
        ("solutions/virtualEvents/webinars/e/getAttendanceReports", {"@odata.id": REPORT.replace("/s/", "/../")}),
        ("solutions/virtualEvents/webinars/e/getAttendanceReports", {"@odata.id": 7}),
        ("solutions/virtualEvents/events", {"id": "e"}),
        ("solutions/virtualEvents/events", {"id": "solutions/virtualEvents/parties/e"}),
        ("communications/onlineMeetings(joinWebUrl='teams')/meetingCallEvents", {}),
        ("communications/onlineMeetings(joinWebUrl='http%3A%2F%2Fa')/meetingCallEvents", {}),
    ],
)  # fmt: skip
def test_an_address_of_another_shape_is_dropped(resource: str, data: dict[str, object]) -> None:
    found = news(resource, **data)
    assert (found.signals, found.tasks, found.encrypted.items) == ((), (), ())
    assert found.dropped == {"unknownResource": 1}


@pytest.mark.parametrize("times_encoded", [0, 1, 2])
def test_a_call_event_names_its_meeting_encoded_or_not(times_encoded: int) -> None:
    url = JOIN
    for _ in range(times_encoded):
        url = quote(url, safe="")
    resource = f"communications/onlineMeetings(joinWebUrl='{url}')/meetingCallEvents"
    found = parse_notifications(body(item(resource=resource, encryptedContent=SEALED)), ALL, SEEN)
    assert found.encrypted.items == (RichItem(JOIN, SEALED, SUBSCRIPTION),)


@pytest.mark.parametrize(
    "form",
    [
        "/communications/onlineMeetings/?$filter=JoinWebUrl eq '{}'",
        "communications/onlineMeetings?$filter=joinWebUrl+eq+'{}'",
        "communications/onlineMeetings/?$filter=joinWebUrl%20eq%20'{}'",
        "communications/onlineMeetings/?%24filter=joinWebUrl+eq+'{}'",
        "communications/onlineMeetings?%24filter=JoinWebUrl%20eq%20%27{}%27",
    ],
)
@pytest.mark.parametrize("times_encoded", [0, 1, 2])
def test_the_resource_of_2022_to_2024_is_understood(form: str, times_encoded: int) -> None:
    url = JOIN
    for _ in range(times_encoded):
        url = quote(url, safe="")
    found = parse_notifications(body(item(resource=form.format(url), encryptedContent=SEALED)), ALL, SEEN)
    assert found.encrypted.items == (RichItem(JOIN, SEALED, SUBSCRIPTION),)


@pytest.mark.parametrize("content", [None, {}, {"data": "A"}])
def test_a_call_event_without_ciphertext_is_dropped(content: object) -> None:
    resource = f"communications/onlineMeetings(joinWebUrl='{quote(JOIN, safe='')}')/meetingCallEvents"
    found = parse_notifications(body(item(resource=resource, encryptedContent=content)), ALL, SEEN)
    assert (found.signals, found.encrypted.items, found.dropped) == ((), (), {"unknownResource": 1})


def test_encrypted_items_keep_what_came_and_the_tokens_of_their_body() -> None:
    resource = f"communications/onlineMeetings(joinWebUrl='{quote(JOIN, safe='')}')/meetingCallEvents"
    about = item(resource=resource, encryptedContent=SEALED)
    for tokens, kept in ((["t"], ("t",)), (None, ()), ("t", ()), ([7], ())):
        content = json.dumps({"value": [about], "validationTokens": tokens}).encode()
        found = parse_notifications(content, ALL, SEEN).encrypted
        assert (found.items, found.tokens) == ((RichItem(JOIN, SEALED, SUBSCRIPTION),), kept)


def test_what_the_settings_do_not_ask_for_is_dropped() -> None:
    for resource in (
        "solutions/virtualEvents/events",
        f"communications/onlineMeetings(joinWebUrl='{JOIN}')/meetingCallEvents",
    ):
        found = received(item(resource=resource, resourceData={"id": "solutions/virtualEvents/webinars/e"}))
        assert found.dropped == {"unknownResource": 1}


BAD_ITEMS = st.sampled_from(
    [
        *(item(clientState=wrong) for wrong in ("wrong", "", None, 7, [STATE], {"a": STATE}, STATE.upper())),
        *(item(tenantId=other) for other in ("84841066-274d-4ec0-a5c1-276be684bdd3", "", 7, [TENANT])),
        *(
            item(resource=unknown)
            for unknown in ("users/1", "", None, 7, [CALL], "communications/callRecords/..")
        ),
        *("text", 7, None, [], True),
    ]
)


@given(st.lists(BAD_ITEMS | st.uuids().map(str)))
def test_a_bad_item_neither_blocks_nor_passes_its_neighbours(items: list[Any]) -> None:
    ids = [each for each in items if isinstance(each, str) and each.count("-") == 4]
    sent = [item(resource=f"communications/callRecords/{each}") if each in ids else each for each in items]
    found = received(*sent)
    assert call_ids(found) == list(dict.fromkeys(ids))
    assert found.dropped.total() == len(items) - len(ids)


@pytest.mark.parametrize(
    "state", ["wrong", "", None, 7, True, [STATE], {"state": STATE}, STATE + " ", "\ud800"]
)
def test_an_item_without_our_client_state_is_dropped(state: object) -> None:
    found = received(item(clientState=state))
    assert (found.signals, found.dropped) == ((), {"clientState": 1})


def test_an_item_without_our_client_state_is_dropped_also_when_it_is_a_lifecycle_event() -> None:
    found = received(item(clientState="wrong", lifecycleEvent="missed"))
    assert (found.tasks, found.dropped) == ((), {"clientState": 1})


def test_the_previous_client_state_is_accepted_while_rotating() -> None:
    assert call_ids(received(item(clientState=PREVIOUS_STATE))) == [CALL]


def test_an_unset_previous_client_state_accepts_nothing() -> None:
    alone = load({name: value for name, value in ENVIRON.items() if name != "CLIENT_STATE_PREVIOUS"})
    for state in ("", None, PREVIOUS_STATE):
        assert parse_notifications(body(item(clientState=state)), alone, SEEN).dropped == {"clientState": 1}


@pytest.mark.parametrize("tenant", ["84841066-274d-4ec0-a5c1-276be684bdd3", "", 7, [TENANT], TENANT + " "])
def test_an_item_of_another_tenant_is_dropped(tenant: object) -> None:
    found = received(item(tenantId=tenant))
    assert (found.signals, found.dropped) == ((), {"tenant": 1})


def test_our_tenant_counts_in_any_casing_and_may_be_left_out() -> None:
    assert call_ids(received(item(tenantId=TENANT.upper()))) == [CALL]
    assert call_ids(received(item(tenantId=None))) == [CALL]


@pytest.mark.parametrize(
    "resource",
    [
        f"communications/callRecords/{CALL}",
        f"/communications/callRecords/{CALL}",
        f"communications/callRecords('{CALL}')",
        f"/Communications/CallRecords('{CALL}')",
        f"COMMUNICATIONS/CALLRECORDS/{CALL}",
    ],
)
def test_a_call_record_is_known_by_each_form_of_its_resource(resource: str) -> None:
    assert call_ids(received(item(resource=resource))) == [CALL]


@pytest.mark.parametrize(
    "resource",
    [
        "communications/callRecords('')",
        f"communications/callRecords/{CALL}/sessions",
        f"communications/callRecords/{CALL}?$expand=sessions",
        f"communications/callRecords/{CALL}#x",
        f"communications/callRecords/{CALL}\n",
        f"communications/callRecords('{CALL}",
        f"//communications/callRecords/{CALL}",
        f"https://graph.microsoft.com/v1.0/communications/callRecords/{CALL}",
        f"xcommunications/callRecords/{CALL}",
        f"users/{CALL}",
        *(
            f"communications/callRecords/{bad}"
            for bad in ("..", ".", "%2e", "%2e%2e", "a/b", "a%2fb", "a\\b", "a b")
        ),
        *(f"communications/callRecords('{bad}')" for bad in ("..", "%2e", "a/b", "a''b")),
        f"communications/callRecords/{'a' * 129}",
        "communications/callRecords/é",
    ],
)
def test_a_resource_of_another_shape_never_becomes_an_address(resource: str) -> None:
    found = received(item(resource=resource))
    assert (found.signals, found.dropped) == ((), {"unknownResource": 1})


@pytest.mark.parametrize("event", ["somethingNew", "", 7, {}, ["missed"], True])
def test_an_unknown_lifecycle_event_is_dropped(event: object) -> None:
    found = received(item(lifecycleEvent=event))
    assert (found.signals, found.tasks, found.dropped) == ((), (), {"unknownLifecycleEvent": 1})


def test_one_call_in_either_case_is_one_signal() -> None:
    found = received(item(), item(resource=f"communications/callRecords/{CALL.upper()}"))
    assert call_ids(found) == [CALL]


@pytest.mark.parametrize("subscription", ["..", "a/b", "%2e", "", 7, None])
def test_news_that_names_no_subscription_is_dropped(subscription: object) -> None:
    found = received(item(subscriptionId=subscription))
    assert (found.signals, found.dropped) == ((), {"noSubscription": 1})


@pytest.mark.parametrize("call", ["neighbour", "..", f"{CALL}0", CALL[:-1]])
def test_a_call_whose_id_is_no_guid_is_dropped(call: str) -> None:
    assert received(item(resource=f"communications/callRecords/{call}")).dropped == {"unknownResource": 1}


@pytest.mark.parametrize("subscription", ["..", "a/b", "%2e", "", 7, None])
def test_a_subscription_to_renew_is_named_by_an_id_alone(subscription: object) -> None:
    found = received(item(lifecycleEvent="reauthorizationRequired", subscriptionId=subscription))
    assert (found.tasks, found.dropped) == ((), {"noSubscription": 1})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"validationToken",
        b'{"value":[}',
        '{"value":[]}'.encode("utf-16"),
        b'{"value":["\xff"]}',
        b"[]",
        b'"value"',
        b"null",
        b"{}",
        b'{"value":null}',
        b'{"value":{}}',
        b'{"value":"[]"}',
        b'{"Value":[]}',
        b'{"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
        b'{"value":[' + b"9" * 5_000 + b"]}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_body_that_is_no_collection_is_refused(content: bytes) -> None:
    with pytest.raises(NotANotification):
        parse_notifications(content, SETTINGS, SEEN)


def test_a_byte_order_mark_and_an_empty_collection_are_no_reason_to_refuse() -> None:
    assert parse_notifications(b'\xef\xbb\xbf{"value":[]}', SETTINGS, SEEN) == ParsedNotifications(
        (), EncryptedBatch((), (), SEEN), (), received().dropped
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(item())), inner),
    max_leaves=20,
)


@given(JSON | st.builds(lambda inner: {"value": inner}, JSON | st.lists(JSON)))
def test_any_json_is_read_or_refused_and_enqueues_nothing(value: Any) -> None:
    try:
        found = parse_notifications(json.dumps(value).encode(), SETTINGS, SEEN)
    except NotANotification:
        return
    assert (found.signals, found.tasks) == ((), ())
    assert found.dropped.total() == len(value["value"])


@given(name=st.sampled_from([*item(), "lifecycleEvent"]), value=JSON)
def test_any_value_of_any_property_is_read_as_a_signal_or_a_task_or_dropped(name: str, value: Any) -> None:
    content = deepcopy(item()) | {name: value}
    found = received(content, item(resource=f"communications/callRecords/{NEIGHBOUR}"))
    assert NEIGHBOUR in call_ids(found)
    assert len(found.signals) + len(found.tasks) + found.dropped.total() == 2


@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        assert isinstance(parse_notifications(content, SETTINGS, SEEN), ParsedNotifications)
    except NotANotification:
        return


@pytest.mark.parametrize("resource", ["communications/callRecords", "/communications/callRecords/"])
def test_where_the_resource_is_the_collection_the_resource_data_names_the_id(resource: str) -> None:
    assert call_ids(received(item(resource=resource, resourceData={"id": CALL}))) == [CALL]
    for data in (None, {}, {"id": 7}, {"id": ".."}, {"id": "a/b"}, [CALL]):
        assert received(item(resource=resource, resourceData=data)).dropped == {"unknownResource": 1}
