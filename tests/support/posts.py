"""POSTs as Microsoft Graph sends them, and their reply times."""

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from local.stack.compose import Stack

SENDERS = 16
JSON = {"Content-Type": "application/json"}

type Connection = http.client.HTTPConnection


SUBSCRIPTION = "5f1a3c8e-1f0e-4c9a-b6a4-6b1f2f0f8a11"


def register(running: Stack) -> None:
    """Have the app know the subscription that `notification` names, as its maintenance would."""
    container = running.state_service().get_container_client(f"{running.container}-state")
    body = json.dumps({"resource": "communications/callRecords"})
    container.upload_blob(f"subscriptions/{SUBSCRIPTION}.json", body, overwrite=True)


def notification(call_id: str, settings: Mapping[str, str]) -> dict[str, object]:
    """The item by which Graph announces a call record to the app with these settings."""
    resource = f"communications/callRecords/{call_id}"
    data = {"@odata.type": "#microsoft.graph.callrecord", "@odata.id": resource, "id": call_id}
    return {
        "subscriptionId": SUBSCRIPTION,
        "clientState": settings["CLIENT_STATE"],
        "changeType": "created",
        "resource": resource,
        "subscriptionExpirationDateTime": "2099-01-01T00:00:00Z",
        "resourceData": data,
        "tenantId": settings["TENANT_ID"],
    }


def timed(
    connection: Connection,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[float, int]:
    """Milliseconds until the whole reply, and its status."""
    began = time.perf_counter()
    connection.request(method, path, body, dict(headers or {}))
    with connection.getresponse() as reply:
        reply.read()
        return (time.perf_counter() - began) * 1000, reply.status


def burst[T](
    connect: Callable[[], Connection], post: Callable[[Connection, T], tuple[float, int]], what: Sequence[T]
) -> tuple[list[float], int]:
    """POST all of it on `SENDERS` connections: times, and number not accepted."""

    def send(first: int) -> list[tuple[float, int]]:
        with closing(connect()) as connection:
            return [post(connection, each) for each in what[first::SENDERS]]

    with ThreadPoolExecutor(SENDERS) as senders:
        found = [each for part in senders.map(send, range(SENDERS)) for each in part]
    return [took for took, _ in found], sum(status != http.client.ACCEPTED for _, status in found)
