"""Faults of other receivers of Graph notifications, which this one avoids.

The name says what went wrong there. Those of encrypted notifications come with encryption.
"""

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.compose import Stack
from shared.graph.subscriptions import list_subscriptions
from tests.support.front import Front, eventually

ROOT = Path(__file__).parents[2]


def test_a_404_right_after_the_notification_is_not_the_end_of_the_record(front: Front) -> None:
    made = front.session(record_delay=3600)
    front.notify(made.call_id)
    front.outcome(made.call_id, "pending")
    front.control.change_session(made.call_id, recordDelay=0)
    front.outcome(made.call_id, "stored")


def test_a_null_resource_data_does_not_break_the_batch(front: Front) -> None:
    null, other = front.session(), front.session()
    front.post(front.item(null.call_id, resourceData=None), front.item(other.call_id))
    front.outcome(null.call_id, "stored")
    front.outcome(other.call_id, "stored")


def test_the_list_of_subscriptions_is_read_to_its_last_page() -> None:
    class Paged:
        def list_pages(self, path: str, operation: str) -> Iterator[list[Any]]:
            assert path == "subscriptions"
            for number in range(3):
                yield [
                    {
                        "id": str(number),
                        "resource": "communications/callRecords",
                        "changeType": "created",
                        "notificationUrl": "https://x.example/api/notifications",
                        "expirationDateTime": "2030-01-01T00:00:00Z",
                    }
                ]

    found = list_subscriptions(Paged())  # type: ignore[arg-type]
    assert [each.id for each in found] == ["0", "1", "2"]


def test_every_notification_of_a_batch_is_handled_not_the_first_alone(front: Front) -> None:
    made = [front.session() for _ in range(3)]
    front.notify(*[each.call_id for each in made])
    for each in made:
        front.outcome(each.call_id, "stored")


def test_a_batch_of_two_is_authenticated_item_by_item(front: Front) -> None:
    good, bad = front.session(), front.session()
    front.post(front.item(bad.call_id, clientState="wrong"), front.item(good.call_id))
    front.outcome(good.call_id, "stored")
    assert not front.outcomes(bad.call_id)


def test_after_a_restart_notifications_are_still_known(front: Front, stack: Stack) -> None:
    made = front.session()
    stack.restart_functions()
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")


def test_a_lifecycle_item_has_neither_change_type_nor_resource(front: Front) -> None:
    item = {
        "subscriptionId": "c0ffee00-0000-4000-8000-000000000003",
        "tenantId": front.stack.settings["TENANT_ID"],
        "clientState": front.stack.settings["CLIENT_STATE"],
        "lifecycleEvent": "reauthorizationRequired",
    }
    assert front.post(item, route="lifecycle").status_code == 202


def test_renewing_moves_the_expiry_at_graph(front: Front) -> None:
    front.subscribe()
    (before,) = front.control.subscriptions()
    soon = datetime.now(UTC) + timedelta(hours=1)
    front.control.change_subscription(before["id"], expiration=soon.isoformat())
    front.run("maintain_subscriptions")

    def expiry() -> datetime:
        (only,) = front.control.subscriptions()
        return datetime.fromisoformat(only["expiration"])

    eventually(lambda: expiry() > soon + timedelta(days=1), "a later expiry")


def test_the_report_is_not_the_first_of_the_list_and_not_read_only_once(front: Front) -> None:
    series = front.control.add_meeting(NewMeeting("recurring")).meeting_id
    for weeks in range(1, 9):
        end = datetime.now(UTC) - timedelta(weeks=weeks)
        front.control.add_session(NewSession(series, start=end - timedelta(hours=1), end=end, announce=False))
    made = front.control.add_session(NewSession(series, report_delay=3600, announce=False))
    front.notify(made.call_id)
    assert not front.outcome(made.call_id, "pending")["reports"]
    front.control.change_session(made.call_id, reportDelay=0)
    outcome = front.outcome(made.call_id, "stored")
    assert [report["id"] for report in outcome["reports"]] == [made.report_id]


def test_the_handshake_comes_by_post(front: Front) -> None:
    answer = requests.post(f"{front.url}/notifications?validationToken=abc", timeout=10)
    assert (answer.status_code, answer.text) == (200, "abc")


def test_the_validation_token_is_decoded_once(front: Front) -> None:
    answer = requests.post(f"{front.url}/notifications?validationToken=100%2525%2B%252B", timeout=10)
    assert answer.text == "100%25+%2B"


def test_the_validation_token_is_not_reflected_as_html(front: Front) -> None:
    answer = requests.post(f"{front.url}/notifications", params={"validationToken": "<b>"}, timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_acknowledged_notification_is_on_the_queue(front: Front, stack: Stack) -> None:
    """Acknowledging too early loses work in a crash: the host is killed after the 202."""
    made = front.session()
    front.notify(made.call_id)
    stack.kill_functions()
    stack.await_functions()
    front.outcome(made.call_id, "stored")


def test_no_log_line_queue_message_or_outcome_shows_the_client_state(front: Front, stack: Stack) -> None:
    state = stack.settings["CLIENT_STATE"]
    made = front.session(report_delay=3600)
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "pending")
    queue = stack.queue_service().get_queue_client("meeting-signals")
    messages = [message.content for message in queue.peek_messages(32)]
    assert state not in json.dumps([outcome, messages])
    front.control.change_session(made.call_id, reportDelay=0)


def test_the_process_is_never_ended_from_within_a_function() -> None:
    product = [each for each in (ROOT / "shared").rglob("*.py") if "cli" not in each.parts]
    for file in (ROOT / "function_app.py", *product):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in {"exit", "_exit", "SystemExit"}, f"{file.name}:{node.lineno}"
