"""The webhook's answers: handshake, acknowledgement, uniform refusals."""

import json
import logging
from pathlib import Path

import pytest

from shared.doors import webhook
from shared.doors.webhook import WebhookReply, answer_post
from shared.messages import envelope
from shared.messages.envelope import MAX_MESSAGE_BYTES
from shared.messages.signals import VERSION, News, unpack_messages
from shared.messages.tasks import (
    MaintainSubscriptions,
    NotificationsRefused,
    RenewSubscription,
    Task,
    parse_task,
)
from tests.support.app_settings import ENVIRON

EVENTS = Path(__file__).parents[1] / "events"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def nothing_refused_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_REFUSALS", webhook.RefusalCounter())


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
        Task(RenewSubscription("5522bd62-7c96-4530-85b0-00b916f6151a")),
        Task(MaintainSubscriptions()),
        Task(NotificationsRefused(1)),
    ]
    assert len(reply.signals) == 1


def test_wrong_client_states_are_told_at_once_and_then_once_a_minute() -> None:
    seconds = 1_000.0
    refusals = webhook.RefusalCounter(lambda: seconds)
    assert [refusals.add(0), refusals.add(3), refusals.add(1), refusals.add(0)] == [0, 3, 0, 0]
    seconds += webhook.REPORT_INTERVAL
    assert [refusals.add(2), refusals.add(1)] == [3, 0]


def test_a_thousand_notifications_fit_into_few_messages() -> None:
    [one] = json.loads(event("call-record-created.json"))["value"]
    items = [one | {"resource": f"communications/callRecords/{number}"} for number in range(1_000)]
    reply = reply_to(json.dumps({"value": items}).encode())
    found = [news.signal_id for text in reply.signals for news in news_in(text)]
    assert found == [f"cr-{number}" for number in range(1_000)]
    assert len(reply.signals) <= 4
    assert all(len(text) <= MAX_MESSAGE_BYTES for text in reply.signals)


def test_dropped_items_are_counted_in_the_log_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "attendance")
    told = reply_to(event("batch-of-several-subscriptions.json"))
    [dropped] = [json.loads(line) for line in caplog.messages if "notification.dropped" in line]
    assert dropped == {"event": "notification.dropped", "clientState": 1, "tenant": 1}
    all_dropped = reply_to(b'{"value":[{"clientState":"wrong"},7]}')
    assert (all_dropped.status, all_dropped.text) == (told.status, told.text) == (202, "")
    assert (all_dropped.signals, all_dropped.tasks) == ([], [])  # told a moment ago


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"value":{}}', b"\xff", b"[" * 100_000])
def test_what_is_no_collection_is_a_bad_request(body: bytes) -> None:
    reply = reply_to(body)
    assert (reply.status, reply.signals, reply.tasks) == (400, (), ())


def test_a_body_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    body = event("call-record-created.json").ljust(2_048)
    assert reply_to(body, NOTIFICATION_MAX_BYTES="2047").status == 413
    assert reply_to(body, NOTIFICATION_MAX_BYTES="2048").status == 202


def test_the_limit_is_one_mebibyte_by_default() -> None:
    assert reply_to(b" " * 1_048_577).status == 413
    assert reply_to(b" " * 1_048_576).status == 400


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
