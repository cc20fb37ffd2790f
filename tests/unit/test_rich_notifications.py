"""Rich items on the queue: packed, read strictly, stored without secrets."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages.envelope import MAX_MESSAGE_BYTES
from shared.messages.rich_notifications import (
    FIELDS,
    KIND,
    EncryptedBatch,
    RichItem,
    pack_batch,
    parse_encrypted_content,
    parse_message,
)
from shared.messages.signals import Door, Nudge, call_record_news

SEEN = datetime(2026, 11, 23, 10, 12, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
URL = "https://teams.microsoft.com/meet/2345?p=x"


def item(number: int = 0, size: int = 100) -> RichItem:
    return RichItem(f"{URL}{number}", dict.fromkeys(FIELDS, "A" * size))


ITEMS = st.builds(item, st.integers(0, 5), st.integers(1, 3_000))


@given(items=st.lists(ITEMS, min_size=1, max_size=20), tokens=st.lists(st.text(max_size=2_000), max_size=3))
def test_what_is_packed_is_read_again(items: list[RichItem], tokens: list[str]) -> None:
    whole = EncryptedBatch(tuple(items), tuple(tokens), SEEN, TRACE)
    texts, too_large = pack_batch(whole)
    found = [parse_message(text) for text in texts]
    assert all(isinstance(each, EncryptedBatch) and each.tokens == whole.tokens for each in found)
    held = [each for one in found if isinstance(one, EncryptedBatch) for each in one.items]
    if not too_large:
        assert held == items
    assert max((len(text) for text in texts), default=0) <= MAX_MESSAGE_BYTES


def test_an_item_that_no_message_can_hold_is_left_out_and_counted() -> None:
    texts, too_large = pack_batch(
        EncryptedBatch((item(1), item(2, MAX_MESSAGE_BYTES), item(3)), ("t",), SEEN)
    )
    assert len(texts) == 1
    assert too_large == 1


def test_many_items_are_few_messages() -> None:
    texts, too_large = pack_batch(
        EncryptedBatch(tuple(item(number, 400) for number in range(100)), ("t" * 1_500,), SEEN)
    )
    assert not too_large
    assert len(texts) <= 8


def test_news_in_their_place_holds_neither_ciphertext_nor_tokens() -> None:
    whole = EncryptedBatch((item(1), item(1), item(2)), ("secret token",), SEEN, TRACE)
    news = whole.without_ciphertext()
    assert [each.meeting.join_url for each in news] == [f"{URL}1", f"{URL}2"]
    assert {each.traceparent for each in news} == {TRACE}
    assert "AAAA" not in repr(news)
    assert "secret" not in repr(news)


def test_news_names_the_subscription_of_its_item() -> None:
    (news,) = EncryptedBatch((replace(item(1), subscription_id="sub"),), (), SEEN).without_ciphertext()
    assert news.subscription_id == "sub"
    assert news.door is Door.WEBHOOK


GOOD: dict[str, Any] = {
    "version": 2,
    "kind": KIND,
    "firstSeen": "2026-11-23T10:12:00Z",
    "validationTokens": ["t"],
    "items": [{"joinWebUrl": URL, "encryptedContent": dict.fromkeys(FIELDS, "A")}],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"firstSeen": None},
        {"firstSeen": "soon"},
        {"validationTokens": "t"},
        {"validationTokens": [7]},
        {"items": []},
        {"items": {}},
        {"items": ["text"]},
        {"items": [{"joinWebUrl": URL}]},
        {"items": [{"joinWebUrl": "", "encryptedContent": dict.fromkeys(FIELDS, "A")}]},
        {"items": [{"joinWebUrl": URL, "encryptedContent": {"data": "A"}}]},
        {"items": [{"joinWebUrl": "x" * 3_000, "encryptedContent": dict.fromkeys(FIELDS, "A")}]},
        {"version": 1},
        {"door": "window"},
    ],
    ids=str,
)
def test_another_shape_is_not_ours(changes: dict[str, Any]) -> None:
    assert isinstance(parse_message(json.dumps(GOOD)), EncryptedBatch)
    with pytest.raises(NotOurMessage) as refused:
        parse_message(json.dumps(GOOD | changes))
    assert "AAA" not in str(refused.value)


def test_a_message_of_another_kind_holds_news_and_nudges() -> None:
    news = {"version": 2, "kind": "news", "signalId": "cr-a", "firstSeen": "2026-11-23T10:12:00Z"}
    assert parse_message(json.dumps(news)) == (call_record_news("a", SEEN),)
    nudge = {"version": 2, "kind": "nudge", "signalId": "cr-a", "attempt": 2}
    assert parse_message(json.dumps(nudge)) == (Nudge("cr-a", 2),)


@pytest.mark.parametrize("value", [None, "text", [], {}, {"data": "A"}, dict.fromkeys(FIELDS, 7)])
def test_what_is_no_encrypted_content_is_none(value: object) -> None:
    assert parse_encrypted_content(value) is None


def test_a_thumbprint_may_be_missing_and_what_is_unknown_is_left_out() -> None:
    known = {name: "A" for name in FIELDS if not name.endswith("Thumbprint")}
    assert parse_encrypted_content(known | {"more": "B"}) == known
