"""Meetings whose organizer is gone or of no tenant: weeks of attempts end in an outcome that says why."""

from dataclasses import replace

import pytest

from shared.errors import GraphError, NotFound
from shared.ledger.record import Record, Result
from tests.support.simulated_app import HOUR, NOW, ORGANIZER, App, call, running

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


def outcome(app: App) -> Record:
    (found,) = app.outcomes()
    return found


def test_a_deleted_organizers_meeting_is_not_found_and_says_why() -> None:
    def refuse(path: str, operation: str) -> GraphError | None:
        return NotFound(operation, "no", status=404) if path.startswith(f"users/{ORGANIZER}") else None

    with running() as app:
        app.calls.append(call("c", NOW - HOUR))
        app.graph.refusal = refuse
        app.announce("c")
        app.run(days=2)
        assert outcome(app).result is Result.NOT_FOUND
        assert "may be deleted" in (outcome(app).last_error or "")


def test_a_guests_short_link_is_not_found_and_says_why() -> None:
    guest = {"identity": {"guest": {"id": "teamsvisitor:1", "displayName": None}, "user": None}}
    made = call("c", NOW - HOUR)
    made.record.update(joinWebUrl="https://teams.microsoft.com/meet/2145678901234", organizer_v2=guest)
    with running() as app:
        app.calls.append(made)
        app.announce("c")
        app.run(days=2)
        assert outcome(app).result is Result.NOT_FOUND
        assert "names an organizer of this tenant" in (outcome(app).last_error or "")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "swept"])
@pytest.mark.parametrize(
    "organizer",
    [None, {"identity": {"user": {"id": ORGANIZER, "tenantId": CONSUMERS}}}],
    ids=["unknown", "known"],
)
def test_a_personal_accounts_meeting_is_not_supported_and_says_why(
    announced: bool, organizer: object
) -> None:
    made = call("c", NOW - HOUR)
    made.record.update(joinWebUrl="https://teams.live.com/meet/9312345678901?p=x", organizer_v2=organizer)
    with running() as app:
        app.calls.append(replace(made, readings=()))
        if announced:
            app.announce("c")
        app.run(hours=30)
        assert outcome(app).result is Result.NOT_SUPPORTED
        assert "teams.live.com" in (outcome(app).last_error or "")
        assert not [each for _, each in app.graph.seen if each.startswith("find meeting")]
