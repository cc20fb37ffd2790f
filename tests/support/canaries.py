"""Canaries, and a search for them in everything that the product wrote."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import ResourceNotFoundError

import local.stack.identity
from local.simulator.faults.responses import Fault
from local.stack.compose import Stack
from tests.support.front import Front, eventually
from tests.support.heard import Heard

CANARY = "q7canary"  # part of every secret, name and address that this module makes up
STRANGER = "q7stranger"  # in messages that are not ours
SIMULATED = ("@contoso.example", "@fabrikam.example")  # of the people whom the simulator makes up
CLIENT_STATE, PREVIOUS = f"{CANARY}-client-state-0123456789", f"{CANARY}-client-state-before-0123"
PERSON = {
    "id": "0a0b0c0d-0000-4000-8000-00000000c0de",
    "displayName": f"{CANARY} Person",
    "userPrincipalName": f"{CANARY}@contoso.example",
    "tenantId": local.stack.identity.TENANT,
}
TROUBLED = "7a57e000-0000-4000-8000-000000000bad"  # a client id that gets no usable token
TROUBLES = [
    (200, f'{{"access_token": "{CANARY}.token", "expires_'),
    (200, f'{{"token": "{CANARY}.token", "expires_on": "0"}}'),
    (400, f'{{"error": "invalid_request", "error_description": "header {CANARY} is wrong"}}'),
    (400, f'{{"message": "header {CANARY} is wrong"}}'),
    (403, f'{{"access_token": "{CANARY}.token", "expires_'),
]
OF_EVENTS = {  # log events of webinars, town halls and watched meetings: see test_canaries_of_events
    *("event.denied", "event.passed", "events.opened", "notification.forged", "notification.undecipherable"),
    *("keys.unavailable", "key.unusable", "watch.unreadable", "notification.unwatched"),
    "invitees.unread",
}
SUBJECT = f"{CANARY} subject"  # of every meeting here
HOLDS_SUBJECTS = ("signals/", "manifests/")
HOLDS_PEOPLE = ("reports/", "invitees/", "tables/")  # names of blobs whose content is about people


class Scene(Front):
    """The front, with ways to see all that the product let out."""

    def __init__(self, stack: Stack, folder: Path, heard: Heard, trouble: list[Any]) -> None:
        super().__init__(stack)
        self.heard = heard
        self.trouble = trouble  # status and body of the identity endpoint for the client id TROUBLED
        self._folder = folder
        self._searched: set[tuple[str, str, str]] = set()  # versions of blobs

    def fault(
        self, path: str, status: int = 200, *, body: object = None, times: int = 1, **more: Any
    ) -> None:
        """Have Graph answer once with people's names and a token."""
        self.control.add_fault(Fault(path, status=status, body=body or refusal(), times=times, **more))

    def wait_for(self, event: str, start: int = 0, **fields: object) -> None:
        """Wait for a line of this event with these fields."""
        eventually(
            lambda: any(
                line.event == event and fields.items() <= line.fields.items()
                for line in self.heard.lines(start)
            ),
            f"{event} {fields}",
        )

    def mark(self) -> int:
        return len(self.heard.texts())

    def health(self) -> None:
        """Read health both ways."""
        for accept in ("application/json", "text/html"):
            reply = requests.get(f"{self.url}/health", headers={"Accept": accept}, timeout=30)
            assert reply.status_code in (200, 503)
            assert not self.holds(reply.text)

    @contextmanager
    def restarted(self, **settings: str) -> Iterator[None]:
        """The same app with other settings."""
        self.stack.restart_functions(settings)
        try:
            yield
        finally:
            self.stack.restart_functions()

    def holds(self, text: str) -> list[str]:
        """The canaries in a text."""
        return [each for each in (*self.canaries, STRANGER) if each in text]

    @property
    def canaries(self) -> tuple[str, ...]:
        return (CANARY, self.stack.identity.header, *SIMULATED)

    def was_queued(self, text: str) -> bool:
        """Whether a message with this text was ever sent, be it invisible or done."""
        files = list((self._folder / "azurite" / "__queuestorage__").iterdir())
        sent = b"\n".join(file.read_bytes() for file in files)
        return any(form in sent for form in (text.encode(), *encoded(text)))

    def leaks(self) -> list[str]:
        """Everything that holds a canary and must not."""
        found = [f"log: {text}" for text in self.heard.texts() if self.holds(text)]
        found += [f"queue: {each}" for each in self.canaries if self.was_queued(each)]
        for container in (self.container, self.apart):
            for blob in container.list_blobs(include=["metadata"]):
                version = (container.container_name, blob.name, blob.etag)
                if version in self._searched:
                    continue
                self._searched.add(version)
                told = json.dumps([blob.name, blob.metadata])
                if not blob.name.startswith(HOLDS_PEOPLE):
                    with suppress(ResourceNotFoundError):  # it moved meanwhile
                        text = container.download_blob(blob.name).readall().decode()
                        told += without_buried(text) if blob.name.startswith("signals/msg-") else text
                if blob.name.startswith(HOLDS_SUBJECTS):
                    told = told.replace(SUBJECT, "")
                if self.holds(told):
                    found.append(f"blob: {told}")
        return found


def encoded(text: str) -> list[bytes]:
    """What `text` looks like somewhere in a base64 text: three ways, by its position."""
    forms = []
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + text.encode())
        forms.append(whole[(0, 2, 3)[shift] : (shift + len(text)) * 8 // 6])
    return forms


def without_buried(text: str) -> str:
    """A foreign message's record, without a stranger's text."""
    content = json.loads(text)
    if STRANGER in content["buried"]["text"]:
        del content["buried"]["text"]
    return json.dumps(content)


def refusal() -> dict[str, Any]:
    """An error of Graph's that quotes whatever it knows."""
    message = f"{CANARY} Person <{CANARY}@contoso.example> has no access; Authorization: Bearer {CANARY}"
    details = [{"code": "x", "message": message, "target": CLIENT_STATE}]
    return {"error": {"code": "Forbidden", "message": message, "details": details, "innerError": PERSON}}
