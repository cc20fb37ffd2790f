"""The control routes for the login endpoint: signing keys, app registrations, users who sign in, faults, calls."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.sign_in.apps import NewApp
from local.sign_in.grants import LoginSettings
from local.sign_in.login import Login
from local.simulator import wire
from local.simulator.control.controls import DONE, Controls, body, read
from local.simulator.faults.responses import Fault


class LoginControls(Controls):
    """The routes, below `/_control/login`."""

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            self._route("POST", "/login/keys", self.rotate),
            self._route("PUT", "/login/keys", self.publish),
            self._route("POST", "/login/apps", self.add_app),
            self._route("GET", "/login/device-codes", self.device_codes),
            self._route("POST", "/login/device-codes/{code}", self.answer),
            self._route("PUT", "/login/settings", self.change_settings),
            self._route("POST", "/login/faults", self.add_fault),
            self._route("DELETE", "/login/faults", self.clear_faults),
            self._route("GET", "/login/calls", self.calls),
            self._route("DELETE", "/login/calls", self.clear_calls),
        ]

    async def rotate(self, request: Request) -> Response:
        """A new key signs from now on."""
        asked = await body(request)
        key = self._login.keys.rotate(keep=asked.get("keep", True), publish=asked.get("publish", True))
        return JSONResponse({"kid": key.kid}, 201)

    async def publish(self, _: Request) -> Response:
        """Every key is in the key set from now on."""
        self._login.keys.publish()
        return Response(status_code=DONE)

    async def add_app(self, request: Request) -> Response:
        """An app registration, with the identities that it trusts."""
        self._login.apps.add(await read(request, NewApp))
        return Response(status_code=DONE)

    async def device_codes(self, _: Request) -> Response:
        """The device codes that wait for their user."""
        waiting = self._login.sign_ins.waiting()
        return JSONResponse([
            {"userCode": each.user_code, "appId": each.app_id, "scopes": each.scopes} for each in waiting
        ])  # fmt: skip

    async def answer(self, request: Request) -> Response:
        """A user signs in with the code of a device, or declines (`user` null)."""
        user = (await body(request))["user"]
        if user is not None and user.lower() not in self._login.users:
            raise ValueError(f"{user} is no user of the tenant")
        self._login.sign_ins.answer(request.path_params["code"], user and user.lower())
        return Response(status_code=DONE)

    async def change_settings(self, request: Request) -> Response:
        """Changes settings of the login endpoint; answers all of them."""
        settings = self._login.settings
        changed = wire.from_wire(LoginSettings, wire.to_wire(settings) | await body(request))
        vars(settings).update(vars(changed))
        return JSONResponse(wire.to_wire(settings))

    async def add_fault(self, request: Request) -> Response:
        """A fault to come."""
        self._login.faults.add(await read(request, Fault))
        return Response(status_code=DONE)

    async def clear_faults(self, _: Request) -> Response:
        """No more faults."""
        self._login.faults.clear()
        return Response(status_code=DONE)

    async def calls(self, _: Request) -> Response:
        """The calls that the login endpoint has answered."""
        return JSONResponse([wire.to_wire(call) for call in self._login.calls])

    async def clear_calls(self, _: Request) -> Response:
        """Forgets the calls so far."""
        self._login.calls.clear()
        return Response(status_code=DONE)

    @property
    def _login(self) -> Login:
        return self._simulator.login
