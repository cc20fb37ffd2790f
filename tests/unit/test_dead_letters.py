"""Unreadable messages: recorded once, unchanged, and sent again unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from shared.archiving import dead_letters
from shared.ledger.record import Record, Result
from shared.messages import codec
from shared.messages.rich_notifications import FIELDS, EncryptedBatch, RichItem, pack_batch
from shared.storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE
from shared.storage.watchlist import build_watched_meeting
from tests.support.simulated_app import HOUR, ORGANIZER, App, running

SECRET = "a-token-that-nobody-may-store"


@pytest.fixture
def app() -> Iterator[App]:
    with running() as app:
        yield app


def buried(app: App) -> Record:
    """The one record of a message, which its queue no longer holds."""
    assert not app.queues[SIGNALS_QUEUE].messages
    (blob,) = app.state.below("signals/msg-")
    record = codec.loads(Record, blob.body)
    (copy,) = app.container.below("outcomes/")
    assert copy.name.endswith(f"/{record.signal_id}.json")
    assert record.result is Result.FAILED
    return record


TEXTS = [
    *("", "no json at all", "[1, 2]", "{", '{"version": 2, "kind": "dance",  "e": "é"} ', '"text"'),
    *('{"version":true,"kind":"news"}', '{"version":-1,"kind":7}', '{"kind":"\\ud800","version":1.5}'),
    json.dumps({"version": 1, "kind": "callRecord", "callId": "a", "firstSeen": "2026-11-23T10:12:00Z"}),
    *(f'{{"version":2,"kind":"news","a":{"[" * depth}{"]" * depth}}}' for depth in (300, 3_000, 19_000)),
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40])
def test_a_message_that_cannot_be_read_is_recorded_as_it_was(app: App, text: str) -> None:
    app.receive(SIGNALS_QUEUE, text)
    app.run(hours=0.5)
    record = buried(app)
    assert record.buried
    assert record.buried.queue == SIGNALS_QUEUE
    assert record.buried.text == text


@pytest.mark.parametrize("text", TEXTS[1:4], ids=lambda text: text[:40])
def test_it_is_sent_again_as_it_was_and_recorded_again(app: App, text: str) -> None:
    app.receive(SIGNALS_QUEUE, text)
    app.run(hours=0.5)
    first, day = buried(app), app.now.date().isoformat()
    app.run(hours=1, every=HOUR)
    app.ask("redrive", day, day, Result.FAILED)
    app.run(hours=0.5)
    again = buried(app)
    assert again.buried == first.buried
    assert again.first_seen > first.first_seen
    assert not app.queues[UPKEEP_QUEUE].messages


@pytest.mark.parametrize(
    "form",
    [
        '{{"version":9,"kind":"encryptedCallEvents","validationTokens":["{0}"],"items":[{{"encryptedContent":{{"data":"{0}"}},"a":1}}]}}',
        '[{{"validationTokens":["{0}"]}},1]',
        '{{"validationTo\\u006bens":["{0}"],"a":{1}}}',
    ],
)
@pytest.mark.parametrize("depth", [0, 3_000])
def test_tokens_and_ciphertext_are_not_stored(app: App, form: str, depth: int) -> None:
    app.receive(SIGNALS_QUEUE, form.format(SECRET, "[" * depth + "]" * depth or 0))
    app.run(hours=0.5)
    record = buried(app)
    assert SECRET not in codec.dumps(record)
    assert record.buried
    assert record.buried.text  # of which the rest is kept


def test_tokens_in_what_cannot_be_parsed_are_not_stored_either(app: App) -> None:
    app.receive(SIGNALS_QUEUE, f'{{"validationTokens":["{SECRET}"],"items"')
    app.run(hours=0.5)
    record = buried(app)
    assert record.buried
    assert record.buried.text == ""


@pytest.mark.parametrize("kind", ["frida@contoso.example", "a b", "", "x" * 41, "a\n"])
def test_a_kind_that_may_be_anything_is_not_published(app: App, kind: str) -> None:
    app.receive(SIGNALS_QUEUE, json.dumps({"version": 2, "kind": kind}))
    app.run(hours=0.5)
    record = buried(app)
    assert record.buried
    assert (record.buried.kind, record.buried.version) == (None, 2)


def test_the_same_text_is_recorded_once(app: App) -> None:
    app.receive(SIGNALS_QUEUE, "no json")
    app.run(hours=0.5)
    first = buried(app)
    for _ in range(2):
        app.receive(SIGNALS_QUEUE, "no json")
    app.run(hours=0.5)
    again = buried(app)
    assert (again.buried, again.first_seen, again.attempt) == (first.buried, first.first_seen, first.attempt)


def test_of_encrypted_items_only_watched_meetings_are_recorded(app: App) -> None:
    """Nothing has verified them."""
    watched, other = (f"https://teams.microsoft.com/l/meetup-join/{each}/0" for each in "12")
    app.services.watch.add(build_watched_meeting(watched, ORGANIZER))
    content = dict.fromkeys(FIELDS, "x")
    batch = EncryptedBatch((RichItem(watched, content), RichItem(other, content)), ("t",), app.now)
    for text in pack_batch(batch)[0]:
        dead_letters.record_dead_message(text, app.services)
    assert [each.meeting.join_url for each in app.outcomes()] == [watched]
