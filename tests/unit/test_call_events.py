"""Call events: one signal for one event however often it is delivered, and none of a meeting that nobody watches."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared.archiving import call_events
from shared.messages.rich_notifications import EncryptedBatch, RichItem
from shared.storage.clients import SIGNALS_QUEUE
from shared.storage.watchlist import build_watched_meeting
from tests.support.simulated_app import NOW, ORGANIZER, App, running

URL = "https://teams.microsoft.com/l/meetup-join/1/0"
OTHER = "https://teams.microsoft.com/l/meetup-join/2/0"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    with running() as app:
        app.services.watch.add(build_watched_meeting(URL, ORGANIZER))
        yield app


def signals(app: App, monkeypatch: pytest.MonkeyPatch, data: Mapping[str, Any], url: str = URL) -> set[str]:
    """The signals queued by three deliveries of one event, minutes apart. Signature and cipher are tested elsewhere."""
    monkeypatch.setattr("shared.archiving.call_events.decryption.decrypt", lambda content, keys: data)
    services: Any = SimpleNamespace(
        validator=SimpleNamespace(verify=lambda tokens: None),
        keys=None,
        watch=app.services.watch,
        journal=app.services.journal,
    )
    for minutes in range(3):
        item = RichItem(url, {"data": str(minutes)}, "s")
        batch = EncryptedBatch((item,), ("t",), NOW + timedelta(minutes=minutes))
        call_events.enqueue_ended_calls(batch, services)
    return {each.text.split('"signalId":"')[1].split('"')[0] for each in app.queues[SIGNALS_QUEUE].messages}


@pytest.mark.parametrize("at", ["2026-11-24T20:55:00Z", "", None, "yesterday"])
def test_an_event_that_is_delivered_three_times_is_one_signal(
    app: App, monkeypatch: pytest.MonkeyPatch, at: str | None
) -> None:
    assert len(signals(app, monkeypatch, {"eventType": "callEnded", "eventDateTime": at})) == 1


def test_two_events_without_a_time_are_two_signals(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        found = signals(app, monkeypatch, {"eventType": "callEnded", "id": number})
    assert len(found) == 2


def test_a_meeting_that_nobody_watches_makes_no_signal(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"eventType": "callEnded", "eventDateTime": "2026-11-24T20:55:00Z"}
    assert signals(app, monkeypatch, data, OTHER) == set()
