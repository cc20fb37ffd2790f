"""Delivery through an event hub, from outside: a call ends, and its report is stored as through the webhook."""

import json
from typing import Any

import pytest
import requests

from local.event_hub.partitions import partitions
from local.simulator.faults.responses import Fault
from local.simulator.tenant.orders import NewMeeting, NewSession
from local.stack.compose import HUBS, Stack
from shared.graph.delivery import HUB
from tests.support.front import Front, eventually, own_stack

stack = own_stack(DELIVERY="event-hubs", SIGNALS="call-records,virtual-events")


@pytest.fixture
def subscribed(front: Front) -> Front:
    if not front.control.subscriptions():
        front.subscribe()
    return front


def test_it(subscribed: Front) -> None:
    front = subscribed
    made = front.session(announce=True)
    front.outcome(made.call_id, "stored")
    print(front.control.subscriptions())
    print(front.state("heartbeat/validation.json"))
    for name in front.apart.list_blob_names(name_starts_with="subscriptions/"):
        print(name, front.state(name))
