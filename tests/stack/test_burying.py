"""Messages that cannot be handled become outcomes with their text; what was buried can be taken up again."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.simulator.faults.responses import Fault
from tests.support.front import Front, eventually, own_stack

VALID = {"version": 1, "kind": "callRecord", "callId": "buried", "firstSeen": "2026-11-23T10:12:00Z"}


stack = own_stack()


def buried(front: Front, text: str) -> dict[str, Any]:
    """The outcome that holds this text, or nothing yet."""
    for name in front.container.list_blob_names(name_starts_with="outcomes/"):
        if "/msg-" in name:
            content = front.content(name)
            if content and content["buried"]["text"] == text:
                return content
    return {}


@pytest.mark.parametrize("queue", ["meeting-signals", "upkeep"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"version": 2, "kind": "callRecord"}),
        json.dumps({"version": 1, "kind": "dance", "é": "ü"}),
        "no json at all",
        "[1, 2]",
        json.dumps({"version": 1, "kind": "pack", "signals": []}),
    ],
)
def test_a_message_that_is_not_ours_is_buried_with_its_text(front: Front, queue: str, text: str) -> None:
    text = f"{text} " if queue == "upkeep" else text  # two outcomes, for they are named after the text
    front.put(queue, text)
    found = eventually(lambda: buried(front, text), "an outcome with the text")
    assert (found["outcome"], found["buried"]) == ("failed", {"queue": queue, "text": text})
    eventually(lambda: front.length(queue) == 0, "the queue to be empty")
    assert front.length(f"{queue}-poison") == 0


def test_a_message_that_failed_too_often_is_buried_as_the_outcome_of_its_signal(front: Front) -> None:
    made = front.session(report_delay=3600)
    text = json.dumps(VALID | {"callId": made.call_id, "traceparent": "bad"})
    front.put("meeting-signals-poison", text)
    found = front.outcome(made.call_id, "failed")
    assert json.loads(found["buried"]["text"])["callId"] == made.call_id
    assert found["metadata"]["outcome"] == "failed"
    eventually(lambda: front.length("meeting-signals-poison") == 0, "the poison queue to be empty")


def test_a_poisoned_repeat_does_not_touch_what_was_stored(front: Front) -> None:
    made = front.session()
    front.notify(made.call_id)
    stored = front.outcome(made.call_id, "stored")
    text = json.dumps(VALID | {"callId": made.call_id, "firstSeen": stored["firstSeen"]})
    front.put("meeting-signals-poison", text)
    eventually(lambda: front.length("meeting-signals-poison") == 0, "the poison queue to be empty")
    assert front.outcome(made.call_id, "stored")["attempt"] == stored["attempt"]


def test_what_was_buried_is_redriven_to_the_end(front: Front) -> None:
    made = front.session()
    seen = datetime.now(UTC).isoformat()
    text = json.dumps(VALID | {"callId": made.call_id, "firstSeen": seen})
    front.control.add_fault(Fault("callRecords/", status=500, times=-1))
    front.put("meeting-signals-poison", text)
    front.outcome(made.call_id, "failed")
    front.control.clear_faults()
    today = datetime.now(UTC).date()
    front.ask("redrive", outcomes=["failed"], start=today, end=today)
    front.outcome(made.call_id, "stored")
    assert len(front.outcomes(made.call_id)) == 1


def test_what_was_not_readable_is_sent_again_as_it_was(front: Front) -> None:
    text = json.dumps({"version": 3, "kind": "callRecord"})
    front.put("meeting-signals", text)
    first = eventually(lambda: buried(front, text), "an outcome with the text")
    today = datetime.now(UTC).date()
    front.ask("redrive", outcomes=["failed"], start=today, end=today)
    eventually(
        lambda: (again := buried(front, text)) and again["firstSeen"] > first["firstSeen"],
        "it to be buried again",
    )


def test_the_poison_queue_of_upkeep_is_emptied_by_the_sweep(front: Front) -> None:
    backfill = json.dumps({"version": 1, "kind": "backfill", "from": "2020-01-01", "to": "2020-01-02"})
    front.put("upkeep-poison", backfill)
    front.put("upkeep-poison", json.dumps({"version": 1, "kind": "sweep", "look": "full", "step": 3}))
    front.put("upkeep-poison", "{not base64}", plain=True)
    front.run("sweep")
    eventually(lambda: buried(front, backfill), "the backfill to be buried")
    eventually(lambda: buried(front, "{not base64}"), "the plain text to be buried")
    eventually(lambda: front.length("upkeep-poison") == 0, "the poison queue to be empty")
