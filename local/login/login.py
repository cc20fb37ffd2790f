"""The parts of one login endpoint, and what tests see of it and change in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from starlette.types import ASGIApp

from local.login.apps import Apps
from local.login.faulty import Faulty
from local.login.grants import Grants, LoginSettings, User
from local.login.metadata import issuer
from local.login.service import LoginService
from local.login.signing import SigningKeys
from local.login.signins import SignIns
from local.simulator.calls import Call
from local.simulator.faults.responses import Faults

CALLS_KEPT = 10_000


class Login:
    """The login endpoint of one tenant. `identity_key`: with which the managed identity's tokens are signed."""

    def __init__(
        self,
        tenant: str,
        authority: str,
        audience: str,
        users: Mapping[str, User],
        identity_key: bytes | None,
    ) -> None:
        self.keys = SigningKeys(authority)
        self.apps = Apps(issuer(authority, tenant, "2.0"), identity_key)
        self.sign_ins = SignIns()
        self.settings = LoginSettings()
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self.users = users
        grants = Grants(
            tenant, authority, audience, self.keys, self.apps, self.sign_ins, users, self.settings
        )
        self.app: ASGIApp = Faulty(LoginService(grants).app(), self.faults, self.calls)
