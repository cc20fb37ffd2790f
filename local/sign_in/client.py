"""A client of the control routes for the login endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from local.sign_in.grants import LoginSettings
from local.simulator import wire
from local.simulator.calls import Call
from local.simulator.faults.responses import Fault

SECONDS = 30.0


class LoginControl:
    """The control routes of the simulator at `url`.

    A refusal raises requests.HTTPError with the reason.

    `login` holds the address of the login endpoint, and `ca` the roots to trust for it, where they are known.
    """

    def __init__(self, url: str, login: str = "", ca: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self.login = login
        self.ca = ca

    def rotate_keys(self, *, keep: bool = True, publish: bool = True) -> str:
        """Sign with a new key, and return its kid.

        `keep`: earlier keys stay published; `publish`: the new one is published.
        """
        return str(self._json("POST", "login/keys", {"keep": keep, "publish": publish})["kid"])

    def publish_keys(self) -> None:
        """Publish an unpublished key."""
        self._send("PUT", "login/keys")

    def add_app(self, app_id: str, *trusts: str) -> None:
        """Register an app that trusts the identities with these object ids."""
        self._send("POST", "login/apps", {"appId": app_id, "trusts": list(trusts)})

    def device_codes(self) -> list[dict[str, Any]]:
        """The pending device codes."""
        waiting: list[dict[str, Any]] = self._json("GET", "login/device-codes")
        return waiting

    def sign_in(self, user_code: str, user: str | None) -> None:
        """Sign a user in by device code; None declines."""
        self._send("POST", f"login/device-codes/{user_code}", {"user": user})

    def change_login(self, **fields: object) -> LoginSettings:
        """Change settings of the login endpoint by JSON name, and return all."""
        return wire.from_wire(LoginSettings, self._json("PUT", "login/settings", fields))

    def add_login_fault(self, fault: Fault) -> None:
        """Add a fault of the login endpoint."""
        self._send("POST", "login/faults", wire.to_wire(fault))

    def clear_login_faults(self) -> None:
        """Remove all faults of the login endpoint."""
        self._send("DELETE", "login/faults")

    def login_calls(self) -> list[Call]:
        """The calls to the login endpoint so far."""
        return [wire.from_wire(Call, each) for each in self._json("GET", "login/calls")]

    def clear_login_calls(self) -> None:
        """Forget the calls to the login endpoint."""
        self._send("DELETE", "login/calls")

    def _json(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        return self._send(method, path, body).json()

    def _send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> requests.Response:
        response = requests.request(method, f"{self.url}/_control/{path}", json=body, timeout=SECONDS)
        if not response.ok:
            raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
        return response
