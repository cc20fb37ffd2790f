"""Tasks: a message says the same when it is read again, and foreign messages are refused."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages.tasks import (
    Backfill,
    Job,
    Maintain,
    Redrive,
    Refresh,
    Refused,
    Renew,
    Sweep,
    Task,
    message,
    parse,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
START = datetime(2026, 10, 25, tzinfo=UTC)
DAY = date(2026, 11, 23)
JOBS: list[Job] = [
    Renew("5522bd62"),
    Maintain(),
    Refused(3),
    Sweep("full", 7),
    Backfill(START, START + timedelta(days=1, hours=2)),
    Redrive(frozenset({"failed", "accessDenied"}), DAY, DAY),
    Redrive(frozenset({"accessDenied"}), DAY, DAY, opened=True, started=START, after="outcomes/x"),
    Refresh(DAY),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
@pytest.mark.parametrize("trace", [None, TRACE])
def test_a_task_survives_its_message(job: Job, trace: str | None) -> None:
    task = Task(job, trace, 3)
    assert parse(message(task)) == task


def test_a_window_given_in_days_holds_its_last_day() -> None:
    text = '{"version":1,"kind":"backfill","from":"2026-10-25","to":"2026-10-26"}'
    assert parse(text).job == Backfill(START, START + timedelta(days=2))


@pytest.mark.parametrize(
    "content",
    [
        {"version": 2, "kind": "maintainSubscriptions"},
        {"version": 1},
        {"version": 1, "kind": "dance"},
        {"version": 1, "kind": ["sweep"]},
        {"version": 1, "kind": "subscribeEvent", "source": [], "eventId": "e"},
        {"version": 1, "kind": "deleteSubscription", "subscriptionId": "../x"},
        {"version": 1, "kind": "examine", "id": "x", "organizers": []},
        {"version": 1, "kind": "examine", "id": "0" * 32},
        {"version": 1, "kind": "examine", "id": "0" * 32, "organizers": [[]]},
        {"version": 1, "kind": "examine", "id": "0" * 32, "organizers": ["0"] * 51},
        {"version": 1, "kind": "renewSubscription"},
        {"version": 1, "kind": "renewSubscription", "subscriptionId": "../users"},
        {"version": 1, "kind": "renewSubscription", "subscriptionId": 7},
        {"version": 1, "kind": "sweep"},
        {"version": 1, "kind": "sweep", "look": "../full", "step": 1},
        {"version": 1, "kind": "sweep", "look": "full", "step": -1},
        {"version": 1, "kind": "backfill", "from": "2026-10-25"},
        {"version": 1, "kind": "backfill", "from": "2026-10-25", "to": "soon"},
        {"version": 1, "kind": "backfill", "from": "2026-10-25", "to": "2026-10-24"},
        {"version": 1, "kind": "redrive", "from": "2026-10-25", "to": "2026-10-26"},
        {"version": 1, "kind": "redrive", "outcomes": "failed", "from": "2026-10-25", "to": "2026-10-26"},
        {"version": 1, "kind": "redrive", "outcomes": [7], "from": "2026-10-25", "to": "2026-10-26"},
        {"version": 1, "kind": "redrive", "outcomes": ["failed"], "from": "2026-10-25", "to": "2026-10-24"},
        {"version": 1, "kind": "redrive", "outcomes": ["failed"], "from": "2026-10-25"},
        {"version": 1, "kind": "refreshDay", "date": "yesterday"},
        {"version": 1, "kind": "refreshDay", "date": "9999-12-31"},
        {"version": 1, "kind": "backfill", "from": "2026-10-25", "to": "9999-12-31"},
        {"version": 1, "kind": "redrive", "outcomes": ["failed"], "from": "2026-10-25", "to": "9999-12-31"},
        {"version": 1, "kind": "callRecord", "callId": "a", "firstSeen": "2026-11-23T10:12:00Z"},
        [],
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_a_task_of_another_version_kind_or_shape_is_not_ours(content: object) -> None:
    with pytest.raises(NotOurMessage):
        parse(json.dumps(content))


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_task_or_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        parse(content)
