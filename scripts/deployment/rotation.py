"""`scripts/rotate`: a new client state, while the old one is still accepted.

    client-state            the secret of new subscriptions           app setting CLIENT_STATE
    client-state-previous   the one before, or a random stand-in      app setting CLIENT_STATE_PREVIOUS

Each rotation writes the previous secret first, so that an interruption loses nothing. A tag on `client-state-previous`
says until when it must be accepted: the app replaces its subscriptions when they are half through their life, at most
36 hours, and Graph repeats a notification for 4 hours more.
"""

import argparse
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import target
from .azurecli import AzureCli
from .errors import DeploymentError
from .site import Site
from .waiting import Clock, say

CURRENT, PREVIOUS = "client-state", "client-state-previous"
SETTINGS = {CURRENT: "CLIENT_STATE", PREVIOUS: "CLIENT_STATE_PREVIOUS"}
TAG = "accepted-until"
ACCEPTED = timedelta(days=3)
BYTES = 48  # 64 characters of base64url
DESCRIPTION = """Rotate the client state, the secret that Graph sends back with each notification.

First without --finish: a new secret is made, and notifications with the old one are still accepted. Three days later
with --finish: the old one is no longer accepted. If the old one was leaked, run it with --finish --leaked at once: what
Graph still sends with it is lost.

Needs the role Key Vault Secrets Officer on the vault, and with privateNetwork a machine inside that network.
"""


def main(
    arguments: Sequence[str] | None = None,
    *,
    clock: Clock | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/rotate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--finish", action="store_true", help="no longer accept the previous secret")
    parser.add_argument("--leaked", action="store_true", help="with --finish: do not wait for three days")
    given = target.parse(parser, arguments)
    if given.leaked and not given.finish:
        parser.error("--leaked goes with --finish")

    def rotate() -> int:
        found = target.find(given)
        outputs = found.outputs()
        vault = Vault(found.az, outputs["KEY_VAULT_NAME"])
        versions = _finish(vault, now(), leaked=given.leaked) if given.finish else _begin(vault, now())
        say("Making the app reload the secrets")
        try:
            Site(found.az, found.account, outputs).refresh_references(clock or Clock(), versions)
        except DeploymentError as failure:
            raise DeploymentError(
                f"The secrets are written; the app reads them within a day. {failure}"
            ) from None
        return 0

    return target.run("scripts/rotate", rotate)


class Vault:
    """The secrets of a key vault."""

    def __init__(self, az: AzureCli, name: str) -> None:
        self._az = az
        self._name = name

    def read(self, secret: str) -> dict[str, Any]:
        """Return a secret with its value and tags."""
        found: dict[str, Any] = self._call("show", secret)
        return found

    def write(self, secret: str, value: str, *options: str) -> str:
        """Make a new version and return it.

        The value is passed in a file, because arguments are visible to others.

        A file passes the value, because arguments are visible to others.
        """
        handle, name = tempfile.mkstemp()
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(value)
            made = self._call("set", secret, "--file", name, "--encoding", "utf-8", *options)
        finally:
            Path(name).unlink()
        return str(made["id"]).rpartition("/")[2]

    def _call(self, verb: str, secret: str, *arguments: str) -> Any:
        try:
            return self._az.read(
                "keyvault", "secret", verb, "--vault-name", self._name, "--name", secret, *arguments
            )
        except DeploymentError as failure:
            raise DeploymentError(
                f"{failure} You need the role Key Vault Secrets Officer on {self._name}, and with privateNetwork a "
                "machine inside that network."
            ) from None


def _begin(vault: Vault, now: datetime) -> dict[str, str]:
    """Make a new secret and keep the current one as the previous.

    Returns the new versions by setting.
    """
    previous, current = vault.read(PREVIOUS), str(vault.read(CURRENT)["value"])
    until = _accepted_until(previous)
    if until and previous["value"] != current:
        raise DeploymentError(
            f"A rotation is under way; the old secret is accepted until at least {_shown(until)}: run "
            "--finish first."
        )
    until = now + ACCEPTED
    kept = vault.write(PREVIOUS, current, "--tags", f"{TAG}={until:%Y-%m-%dT%H:%M:%SZ}")
    new = vault.write(CURRENT, secrets.token_urlsafe(BYTES))
    say(f"A new secret is in use; the old one is still accepted. Run --finish after {_shown(until)}.")
    return {SETTINGS[PREVIOUS]: kept, SETTINGS[CURRENT]: new}


def _finish(vault: Vault, now: datetime, *, leaked: bool) -> dict[str, str]:
    """Replace the previous secret by a random one.

    Returns its version by setting.
    """
    previous = vault.read(PREVIOUS)
    until = _accepted_until(previous)
    if until is None or previous["value"] == vault.read(CURRENT)["value"]:
        raise DeploymentError(
            "No rotation is under way, or it was interrupted: run it without --finish first."
        )
    if now < until and not leaked:
        raise DeploymentError(
            f"Subscriptions may use the old secret until {_shown(until)}: wait, or add --leaked and lose what "
            "Graph still sends with it."
        )
    version = vault.write(PREVIOUS, secrets.token_urlsafe(BYTES))
    say("The old secret is no longer accepted.")
    if leaked:
        say("Now replace the subscriptions: attendance subscriptions renew --settings FILE")
    return {SETTINGS[PREVIOUS]: version}


def _accepted_until(secret: dict[str, Any]) -> datetime | None:
    tag = (secret.get("tags") or {}).get(TAG)
    if not tag:
        return None
    try:
        return datetime.strptime(str(tag), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise DeploymentError(f"The tag {TAG} of {PREVIOUS} is not a time: {tag}") from None


def _shown(until: datetime) -> str:
    return f"{until:%Y-%m-%d %H:%M} UTC"
