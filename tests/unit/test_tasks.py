"""Tasks: read as written, and foreign messages refused."""

import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NotOurMessage
from shared.messages.envelope import OPAQUE_ID
from shared.messages.signals import EVENT_ID, EventKind
from shared.messages.tasks import (
    Backfill,
    DeleteSubscription,
    Examine,
    Job,
    MaintainSubscriptions,
    NotificationsRefused,
    Redrive,
    RefreshDay,
    RenewSubscription,
    SubscribeEvent,
    Sweep,
    Task,
    WriteDaily,
    parse_task,
    serialize_task,
)
from shared.upkeep import HANDLERS

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
START = datetime(2026, 10, 25, tzinfo=UTC)
REDRIVE = {"version": 1, "kind": "redrive", "outcomes": ["failed"], "from": "2026-10-25", "to": "2026-10-26"}
MILLISECONDS = st.integers(0, 8 * 10**11).map(
    lambda number: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
)
DAYS = st.dates(date(2000, 1, 1), date(2999, 12, 31))
IDS = st.from_regex(OPAQUE_ID, fullmatch=True)
WHOLE = st.integers(0, 2**40)
JOBS = st.one_of(
    st.builds(RenewSubscription, IDS),
    st.builds(DeleteSubscription, IDS),
    st.builds(MaintainSubscriptions),
    st.builds(NotificationsRefused, WHOLE),
    st.builds(Sweep, st.sampled_from(["full", "recent", "backfill-1"]), WHOLE),
    st.tuples(MILLISECONDS, MILLISECONDS)
    .filter(lambda ends: ends[0] < ends[1])
    .map(lambda ends: Backfill(*ends)),
    st.tuples(DAYS, DAYS).flatmap(
        lambda days: st.builds(
            Redrive,
            st.frozensets(st.text(), min_size=1, max_size=3),
            st.just(min(days)),
            st.just(max(days)),
            st.booleans(),
            st.none() | MILLISECONDS,
            st.none() | st.text(),
            st.lists(IDS, max_size=2).map(tuple),
            st.sampled_from([(), (min(days), max(days))]),
        )
    ),
    st.builds(RefreshDay, DAYS),
    st.builds(WriteDaily, DAYS, st.from_regex(r"[0-9a-f]{64}\Z", fullmatch=True), WHOLE, WHOLE, WHOLE, WHOLE),
    st.builds(SubscribeEvent, st.sampled_from(EventKind), st.from_regex(EVENT_ID, fullmatch=True)),
    st.builds(
        Examine,
        st.from_regex(r"[0-9a-f]{32}\Z", fullmatch=True),
        st.lists(st.uuids().map(str), max_size=2).map(tuple),
    ),
)
TASKS = st.builds(Task, JOBS, st.none() | st.just(TRACE), WHOLE)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | DAYS.map(str)
    | st.datetimes().map(str)
    | st.sampled_from(["renewSubscription", "backfill", TRACE, "9999-12-31", "2999-12-31"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def test_every_job_has_a_handler() -> None:
    assert set(HANDLERS) == set(get_args(Job))
    assert len({job.kind for job in HANDLERS}) == len(HANDLERS)


@given(TASKS)
def test_a_task_survives_its_message(task: Task) -> None:
    assert parse_task(serialize_task(task)) == task


@given(TASKS, st.data())
def test_any_value_in_any_field_is_a_task_or_not_ours(task: Task, data: st.DataObject) -> None:
    content = json.loads(serialize_task(task))
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(VALUES)
    with contextlib.suppress(NotOurMessage):
        read = parse_task(json.dumps(content))
        assert parse_task(serialize_task(read)) == read


def test_a_window_given_in_days_holds_its_last_day() -> None:
    text = '{"version":1,"kind":"backfill","from":"2026-10-25","to":"2026-10-26"}'
    assert parse_task(text).job == Backfill(START, START + timedelta(days=2))


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
        REDRIVE | {"signals": "cr-1"},
        REDRIVE | {"signals": ["megan@contoso.com"]},
        REDRIVE | {"signals": ["cr-1"] * 201},
        REDRIVE | {"backfill": ["2026-10-25"]},
        REDRIVE | {"backfill": ["2026-10-25", "2026-10-24"]},
        REDRIVE | {"backfill": "2026-10-25"},
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
        parse_task(json.dumps(content))


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_task_or_not_ours(content: str) -> None:
    with pytest.raises(NotOurMessage):
        parse_task(content)
