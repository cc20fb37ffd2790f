"""The parts of one login endpoint, and what tests can read and change."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from starlette.types import ASGIApp

from local.sign_in.apps import Apps
from local.sign_in.faulty import Faulty
from local.sign_in.grants import Grants, LoginSettings, User
from local.sign_in.metadata import issuer
from local.sign_in.service import LoginService
from local.sign_in.sign_ins import SignIns
from local.sign_in.signing import SigningKeys
from local.simulator.calls import Call
from local.simulator.faults.responses import Faults

CALLS_KEPT = 10_000


class Login:
    """The login endpoint of one tenant; `identity_key` signs the identity's tokens."""

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
