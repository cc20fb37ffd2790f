"""With GRAPH_CLIENT_ID, an app registration is used for Graph, and only there."""

from local.stack.compose import Stack
from tests.support.front import Front, eventually, own_stack

REGISTRATION = "5c000000-0000-4000-8000-000000000001"

stack = own_stack(GRAPH_CLIENT_ID=REGISTRATION)


def test_graph_sees_the_registration_and_storage_the_identity(front: Front) -> None:
    made = front.session()
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")
    assert len(front.reports(made.report_id)) == 1
    tokens = [each for each in front.control.login_calls() if each.path.endswith("/oauth2/v2.0/token")]
    assert tokens
    assert all(each.status == 200 for each in tokens)


def test_a_subscription_belongs_to_the_registration(front: Front) -> None:
    front.subscribe()
    (there,) = front.control.subscriptions()
    assert there["applicationId"] == REGISTRATION


def test_a_policy_for_the_registration_is_enough(front: Front) -> None:
    meeting = front.control.add_meeting()
    front.control.allow(meeting.organizer_id, REGISTRATION)
    made = front.session()
    front.notify(made.call_id)
    front.outcome(made.call_id, "stored")


def test_a_registration_that_does_not_trust_the_identity_gets_nothing(front: Front, stack: Stack) -> None:
    other = "5c000000-0000-4000-8000-000000000002"
    front.control.add_app(other, "0d000000-0000-4000-8000-000000000009")
    stack.restart_functions({"GRAPH_CLIENT_ID": other})
    made = front.session()
    front.notify(made.call_id)
    outcome = front.outcome(made.call_id, "pending")
    assert outcome["lastError"] == "get a token: app registration: ClientAuthenticationError"
    stack.restart_functions()
    front.ask("redrive", outcomes=["pending"], start=outcome["firstSeen"][:10], end=outcome["firstSeen"][:10])
    eventually(lambda: front.reports(made.report_id), "the report")
