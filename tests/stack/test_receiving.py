"""The webhooks over HTTP: handshake, status codes, batches, and queues."""

from collections.abc import Iterator

import pytest
import requests

from local.simulator.tenant.orders import NewSession
from local.stack.compose import Stack
from tests.support.app_settings import STATE
from tests.support.front import Front

ROUTES = ["notifications", "lifecycle"]
CLOSED = "https://127.0.0.1:9/attendancehost"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("token", ["plain", "a b+c%3Ad&e=ü", "<script>alert(1)</script>"])
@pytest.mark.parametrize("body", [b"", b"{"])
def test_the_handshake_answers_the_decoded_token_as_text_and_nothing_else(
    front: Front, route: str, token: str, body: bytes
) -> None:
    answer = requests.post(f"{front.url}/{route}", params={"validationToken": token}, data=body, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.content == token.encode()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"value": 1}', b"\xff\xfe", b"[" * 16_000])
def test_what_is_no_notification_collection_gets_400(front: Front, body: bytes) -> None:
    assert requests.post(f"{front.url}/notifications", data=body, timeout=10).status_code == 400


def test_a_body_over_the_limit_gets_413(front: Front) -> None:
    assert requests.post(f"{front.url}/notifications", data=b" " * 1_048_577, timeout=10).status_code == 413


def test_an_empty_collection_gets_202(front: Front) -> None:
    assert front.post().status_code == 202


def test_bad_items_neither_block_nor_pass_their_neighbours(front: Front) -> None:
    good, other = front.session(), front.session()
    forged, foreign, odd, unknown = (front.session() for _ in range(4))
    answer = front.post(
        7,
        None,
        front.item(forged.call_id, clientState="forged"),
        front.item(good.call_id),
        front.item(unknown.call_id, subscriptionId="of-nobody"),
        front.item(foreign.call_id, tenantId="99999999-9999-4999-8999-999999999999"),
        front.item(odd.call_id, resource=f"users/x/../communications/callRecords/{odd.call_id}"),
        front.item(other.call_id, resourceData=None),
    )
    assert (answer.status_code, answer.text) == (202, "")
    front.outcome(good.call_id, "stored")
    front.outcome(other.call_id, "stored")
    for dropped in (forged, foreign, odd, unknown):
        assert not front.outcomes(dropped.call_id)
        assert not front.calls(dropped.call_id)


def test_a_batch_of_100_items_goes_through_the_queue_in_packs(front: Front) -> None:
    made = front.session()
    order = NewSession(
        type="peerToPeer", announce=False
    )  # settled at once: no later test shares in its retries
    others = [front.control.add_session(order).call_id for _ in range(99)]
    answer = front.post(*[front.item(call_id) for call_id in (*others, made.call_id)])
    assert answer.status_code == 202
    front.outcome(made.call_id, "stored")
    front.outcome(others[0], "notAMeeting")
    front.outcome(others[-1], "notAMeeting")


def test_a_lifecycle_item_without_resource_is_taken_at_both_routes(front: Front) -> None:
    item = {
        "subscriptionId": "c0ffee00-0000-4000-8000-000000000001",
        "subscriptionExpirationDateTime": "2099-01-01T00:00:00Z",
        "tenantId": front.stack.settings["TENANT_ID"],
        "clientState": front.stack.settings["CLIENT_STATE"],
        "lifecycleEvent": "missed",
    }
    for route in ROUTES:
        assert front.post(item, route=route).status_code == 202


def test_other_methods_find_nothing(front: Front) -> None:
    assert requests.get(f"{front.url}/notifications", timeout=10).status_code == 404


class TestWhenSomethingIsWrong:
    @pytest.fixture(scope="class")
    @classmethod
    def stack(cls, stack: Stack) -> Iterator[Stack]:
        yield stack
        stack.restart_functions()

    def test_a_queue_that_refuses_gives_5xx_so_that_graph_comes_again(
        self, stack: Stack, front: Front
    ) -> None:
        stack.restart_functions({"AzureWebJobsStorage__queueServiceUri": CLOSED})
        assert front.post(front.item(front.session().call_id)).status_code >= 500

    @pytest.mark.parametrize(("name", "value"), [("TENANT_ID", "contoso"), ("CLIENT_STATE", " ")])
    def test_a_wrong_setting_gives_503_and_health_names_it(
        self, stack: Stack, front: Front, name: str, value: str
    ) -> None:
        item = front.item(front.session().call_id)
        stack.restart_functions({name: value})
        for route in ROUTES:
            assert front.post(item, route=route).status_code == 503
        health = requests.get(f"{front.url}/health", timeout=10)
        assert health.status_code == 503
        assert name in health.json()["problem"]

    def test_while_rotating_both_client_states_are_accepted(self, stack: Stack, front: Front) -> None:
        before = stack.base_environment["CLIENT_STATE"]
        old, new, wrong = front.session(), front.session(), front.session()
        stack.restart_functions({"CLIENT_STATE": STATE, "CLIENT_STATE_PREVIOUS": before})
        front.post(
            front.item(wrong.call_id, clientState="neither"),
            front.item(old.call_id, clientState=before),
            front.item(new.call_id, clientState=STATE),
        )
        front.outcome(old.call_id, "stored")
        front.outcome(new.call_id, "stored")
        assert not front.outcomes(wrong.call_id)
