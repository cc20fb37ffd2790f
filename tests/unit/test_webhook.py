"""The webhook's answers: handshake, acknowledgement, uniform refusals."""

import json
import logging
from collections import Counter
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.doors import notifications, prefilter, webhook
from shared.doors.webhook import WebhookReply, answer_post
from shared.limits import REPORT_INTERVAL, Due, Tally
from shared.messages import envelope
from shared.messages.envelope import MAX_MESSAGE_BYTES
from shared.messages.signals import VERSION, News, unpack_messages
from shared.messages.tasks import (
    MAX_RENEWED,
    MaintainSubscriptions,
    NotificationsRefused,
    RenewSubscription,
    Task,
    parse_task,
)
from tests.support.app_settings import ENVIRON

EVENTS = Path(__file__).parents[1] / "events"
REFUSED = ("b51a31f4-6f07-4f3c-8a90-2c0d5c1c7f02",)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def nothing_counted_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_HANDSHAKES", "_REFUSED", "_DROPPED"):
        monkeypatch.setattr(webhook, name, Tally())


def event(name: str) -> bytes:
    return (EVENTS / name).read_bytes()


def reply_to(
    body: bytes, *, token: str | None = None, traceparent: str | None = None, **settings: str
) -> WebhookReply:
    return answer_post(validation_token=token, body=body, environ=ENVIRON | settings, traceparent=traceparent)


def news_in(text: str) -> list[News]:
    """The news in a message, which holds nothing else."""
    found = unpack_messages(envelope.loads(text, VERSION))
    news = [each for each in found if isinstance(each, News)]
    assert len(news) == len(found)
    return news


@pytest.mark.parametrize("token", ["abc", "", "Validation: a+b %3A&=é 漢字 <script>", " \t", "x" * 10_000])
@pytest.mark.parametrize("body", [b"", b"\xff garbage {", b"[" * 100_000, b"x" * 2_000_000])
def test_a_handshake_gets_the_token_and_nothing_else(token: str, body: bytes) -> None:
    assert reply_to(body, token=token) == WebhookReply(200, token)


def test_a_notification_is_acknowledged_with_its_message() -> None:
    reply = reply_to(event("call-record-created.json"), traceparent=TRACE)
    assert (reply.status, reply.text, reply.tasks) == (202, "", [])
    [message] = reply.signals
    [news] = news_in(message)
    assert (news.signal_id, news.traceparent) == ("cr-e523d2ed-2966-4b6b-925b-754a88034cc5", TRACE)


def test_a_traceparent_that_is_none_is_not_passed_on() -> None:
    [message] = reply_to(event("call-record-created.json"), traceparent="<script>").signals
    assert "traceparent" not in message


def test_lifecycle_events_go_to_the_other_queue() -> None:
    reply = reply_to(event("lifecycle-mixed.json"))
    assert [parse_task(text) for text in reply.tasks] == [
        Task(MaintainSubscriptions(("5522bd62-7c96-4530-85b0-00b916f6151a",))),
        Task(NotificationsRefused(1, REFUSED)),
    ]
    assert len(reply.signals) == 1


def test_counts_are_reported_at_once_and_then_once_a_minute() -> None:
    seconds = 1_000.0
    tally = Tally(lambda: seconds)
    assert tally.add({}) is None
    assert tally.add({"a": 3}) == Due(Counter(a=3), ())
    assert tally.add({"a": 1, "b": 2}, ["x"]) is None
    seconds += REPORT_INTERVAL
    assert tally.add({"a": 2}, ["X", "y"]) == Due(Counter(a=3, b=2), ("x", "y"))
    assert tally.add({}) is None


def test_five_subscriptions_at_most_are_reported() -> None:
    due = Tally().add({"clientState": 9}, [str(number) for number in range(9)])
    assert due
    assert due.subscription_ids == ("0", "1", "2", "3", "4")


def test_a_flood_of_any_kind_leaves_a_line_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")
    enqueued = [
        len(reply_to(body, token=token).tasks)
        for _ in range(50)
        for body in (b'{"value":[{},{"clientState":"x"}]}', b"no json", b"x" * 300_000, b"\\u" * 10_000)
        for token in (None, "t")
    ]
    lines = [json.loads(line)["event"] for line in caplog.messages]
    assert sorted(lines) == ["handshake.answered", "notification.dropped", "notification.refused"]
    assert sum(enqueued) == 1


def test_lifecycle_events_make_one_task_and_few_renewals() -> None:
    [one] = [each for each in json.loads(event("lifecycle-mixed.json"))["value"] if "lifecycleEvent" in each][
        :1
    ]
    items = [
        one | {"lifecycleEvent": "reauthorizationRequired", "subscriptionId": f"s-{number}"}
        for number in range(200)
    ]
    for body in (items, [*items, one | {"lifecycleEvent": "missed"}]):
        [task] = map(parse_task, reply_to(json.dumps({"value": body}).encode()).tasks)
        assert isinstance(task.job, MaintainSubscriptions)
        assert task.job.subscription_ids == tuple(f"s-{number}" for number in range(MAX_RENEWED))
    [task] = map(parse_task, reply_to(json.dumps({"value": items[:1]}).encode()).tasks)
    assert task.job == RenewSubscription("s-0")


STATE = ENVIRON["CLIENT_STATE"]
CALL_EVENTS = {"SIGNALS": "call-events", "ENCRYPTION_KEY_ID": "key.pem", "AZURE_CLIENT_ID": str(UUID(int=1))}
LARGE = prefilter.SMALL + 1


def padded(body: bytes, size: int = LARGE) -> bytes:
    """The same JSON in `size` bytes."""
    return body.ljust(size)


@pytest.mark.parametrize("spaces", ["", " ", "\n\t "])
def test_a_large_body_of_ours_is_taken_whole(spaces: str) -> None:
    [one] = json.loads(event("call-record-created.json"))["value"]
    body = json.dumps({"value": [{"clientState": "another"}, one]}, separators=(",", f"{spaces}:{spaces}"))
    for size in (prefilter.SMALL, LARGE, 262_144):
        assert len(reply_to(padded(body.encode(), size)).signals) == 1


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyzABCXYZ._~-", min_size=32, max_size=128), st.randoms())
def test_nothing_genuine_is_held_back(state: str, source: Random) -> None:
    others = [{"clientState": source.choice(("x", state[:-1], state + "a", None, 7))} for _ in range(3)]
    items = [*others, {"resource": 'a "clientState":', "clientState": state}]
    source.shuffle(items)
    body = json.dumps({"value": items}, indent=source.choice((None, 2))).encode()
    assert prefilter.holds_state(body, ("a" * 32, state))
    assert not prefilter.holds_state(body, ("a" * 32, "b" * len(state)))


def test_a_large_body_of_a_stranger_is_acknowledged_and_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "parse_notifications", lambda *_: pytest.fail("it was parsed"))
    named = json.dumps({"subscriptionId": REFUSED[0].upper(), "clientState": "x" * len(STATE)}).encode()
    reply = reply_to(padded(b'{"value":[' + named, LARGE))
    assert (reply.status, reply.text, reply.signals) == (202, "", ())
    assert [parse_task(text) for text in reply.tasks] == [Task(NotificationsRefused(1, REFUSED))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_large_body_that_may_hide_its_state_is_refused_unless_call_events_need_it(encoding: str) -> None:
    body = event("call-record-created.json").decode().replace(STATE, f"\\u00{ord(STATE[0]):02x}{STATE[1:]}")
    assert reply_to(body.encode()).status == 202
    assert reply_to(padded(body.encode())).status == 413
    assert len(reply_to(padded(body.encode()), **CALL_EVENTS).signals) == 1
    large = body.ljust(LARGE).encode(encoding)
    assert reply_to(large).status == 413
    assert reply_to(large, **CALL_EVENTS).status == (202 if encoding == "utf-8" else 400)


def test_a_state_that_json_can_write_in_two_ways_has_every_body_parsed() -> None:
    state = 'q7Rk2/Zp"9xWm4vB8nT1cY6hL3jD5fG0s'
    [one] = json.loads(event("call-record-created.json"))["value"]
    body = json.dumps({"value": [one | {"clientState": state}]}).replace("/", "\\/").encode()
    assert len(reply_to(padded(body), CLIENT_STATE=state).signals) == 1


def test_a_thousand_notifications_fit_into_few_messages() -> None:
    [one] = json.loads(event("call-record-created.json"))["value"]
    items = [one | {"resource": f"communications/callRecords/{UUID(int=number)}"} for number in range(1_000)]
    reply = reply_to(json.dumps({"value": items}).encode(), NOTIFICATION_MAX_BYTES="1048576")
    found = [news.signal_id for text in reply.signals for news in news_in(text)]
    assert found == [f"cr-{UUID(int=number)}" for number in range(1_000)]
    assert len(reply.signals) <= 8
    assert all(len(text) <= MAX_MESSAGE_BYTES for text in reply.signals)


def test_dropped_items_are_counted_in_the_log_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")
    told = reply_to(event("batch-of-several-subscriptions.json"))
    [dropped] = [json.loads(line) for line in caplog.messages if "notification.dropped" in line]
    assert dropped == {"event": "notification.dropped", "clientState": 1, "tenant": 1}
    all_dropped = reply_to(b'{"value":[{"clientState":"wrong"},7]}')
    assert (all_dropped.status, all_dropped.text) == (told.status, told.text) == (202, "")
    assert (all_dropped.signals, all_dropped.tasks) == ([], [])  # told a moment ago


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"value":{}}', b"\xff", b"[" * 16_000])
def test_what_is_no_collection_is_a_bad_request(body: bytes) -> None:
    reply = reply_to(body)
    assert (reply.status, reply.signals, reply.tasks) == (400, (), ())


def test_a_body_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    body = event("call-record-created.json").ljust(2_048)
    assert reply_to(body, NOTIFICATION_MAX_BYTES="2047").status == 413
    assert reply_to(body, NOTIFICATION_MAX_BYTES="2048").status == 202


def test_the_limit_follows_the_signals() -> None:
    assert reply_to(b" " * 262_145).status == 413
    assert reply_to(b" " * 262_144).status == 202
    assert reply_to(b" " * 1_048_577, **CALL_EVENTS).status == 413
    assert reply_to(b" " * 262_145, **CALL_EVENTS).status == 202


@pytest.mark.parametrize("token", [None, "token"])
def test_with_wrong_settings_graph_is_asked_to_come_again(
    token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    reply = reply_to(event("call-record-created.json"), token=token, CLIENT_STATE="leaked" * 30)
    assert (reply.status, reply.signals, reply.tasks) == (503, (), ())
    assert "CLIENT_STATE" in caplog.text
    assert "CLIENT_STATE" not in reply.text
    assert "leaked" not in caplog.text + reply.text


def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("call-record-created.json", "batch-of-several-subscriptions.json", "lifecycle-mixed.json"):
        reply_to(event(name))
    reply_to(b'{"value": "a-client-state-for-tests-0123456789"}')
    reply_to(b"", token="a-validation-token")
    assert caplog.messages
    for secret in (
        "a-client-state-for-tests-0123456789",
        "the-client-state-before-0123456789",
        "somebody-elses",
        "a-validation-token",
    ):
        assert secret not in caplog.text
