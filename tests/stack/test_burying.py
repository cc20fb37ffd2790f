"""Messages that cannot be processed: failed outcomes, hidden text, redrive."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.simulator.faults.responses import Fault
from tests.support.front import Front, eventually, own_stack


def news(call_id: str, seen: str = "2026-11-23T10:12:00Z", **changes: object) -> str:
    """News of a call record, as a webhook sends it."""
    valid = {"version": 2, "kind": "news", "signalId": f"cr-{call_id}", "firstSeen": seen}
    return json.dumps(valid | changes)


stack = own_stack()


def buried(front: Front, text: str) -> dict[str, Any]:
    """The outcome of the message with this text, or nothing yet."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    for name in front.container.list_blob_names(name_starts_with="outcomes/"):
        if name.endswith(f"/msg-{sha256[:32]}.json"):
            return front.content(name)
    return {}


@pytest.mark.parametrize("queue", ["meeting-signals", "upkeep"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"version": 1, "kind": "callRecord", "callId": "a", "firstSeen": "2026-11-23T10:12:00Z"}),
        json.dumps({"version": 2, "kind": "dance", "é": "ü"}),
        "no json at all",
        "[1, 2]",
        json.dumps({"version": 2, "kind": "pack", "messages": []}),
    ],
)
def test_a_message_that_is_not_ours_is_buried_and_its_text_is_kept_apart(
    front: Front, queue: str, text: str
) -> None:
    text = f"{text} " if queue == "upkeep" else text  # two outcomes, for they are named after the text
    front.put(queue, text)
    found = eventually(lambda: buried(front, text), "its outcome")
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    told = content if isinstance(content, dict) else {}
    assert (found["outcome"], found["buried"]) == (
        "failed",
        {
            "queue": queue,
            "kind": told.get("kind"),
            "version": told.get("version"),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
    )
    assert front.state(f"signals/{found['signalId']}.json")["buried"]["text"] == text
    eventually(lambda: front.length(queue) == 0, "the queue to be empty")
    assert front.length(f"{queue}-poison") == 0


def test_a_message_that_failed_too_often_is_buried_as_the_outcome_of_its_signal(front: Front) -> None:
    made = front.session(report_delay=3600)
    front.put("meeting-signals-poison", news(made.call_id, traceparent="bad"))
    found = front.outcome(made.call_id, "failed")
    assert "as often as the queue allows" in found["lastError"]
    assert found["nextAttempt"]
    assert found["metadata"]["outcome"] == "failed"
    eventually(lambda: front.length("meeting-signals-poison") == 0, "the poison queue to be empty")


def test_a_poisoned_repeat_does_not_touch_what_was_stored(front: Front) -> None:
    made = front.session()
    front.notify(made.call_id)
    stored = front.outcome(made.call_id, "stored")
    front.put("meeting-signals-poison", news(made.call_id, stored["firstSeen"]))
    eventually(lambda: front.length("meeting-signals-poison") == 0, "the poison queue to be empty")
    assert front.outcome(made.call_id, "stored")["attempt"] == stored["attempt"]


def test_what_was_buried_is_redriven_to_the_end(front: Front) -> None:
    made = front.session()
    front.control.add_fault(Fault("callRecords/", status=500, times=-1))
    front.put("meeting-signals-poison", news(made.call_id, datetime.now(UTC).isoformat()))
    front.outcome(made.call_id, "failed")
    front.control.clear_faults()
    front.redrive("failed")
    front.outcome(made.call_id, "stored")
    assert len(front.outcomes(made.call_id)) == 1


def test_what_was_not_readable_is_sent_again_as_it_was(front: Front) -> None:
    text = json.dumps({"version": 3, "kind": "callRecord"})
    front.put("meeting-signals", text)
    first = eventually(lambda: buried(front, text), "its outcome")
    front.redrive("failed")
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
