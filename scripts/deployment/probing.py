"""Checks of the deployed app: validation handshake, and health page.

A handshake that fails because this machine may not reach the app says nothing about Graph, which comes from elsewhere;
only Graph's own answer to the subscription does, and `attendance doctor` shows it.
"""

import json
import secrets
from urllib.parse import quote

from . import web
from .errors import DeploymentError
from .site import Site
from .waiting import Clock, attempts, say

HANDSHAKE_SECONDS, HANDSHAKE_POLL = 180.0, 10.0
KEY_SECONDS, KEY_POLL = 60.0, 10.0
CLOSED = (
    "The app is closed to this machine: {problem}. An address list (allowedAddresses), a private DNS or a firewall "
    "can cause this. Graph may still reach the app: only its answer to the subscription shows that, "
    "see `attendance doctor`."
)


def handshake(base: str, clock: Clock) -> bool:
    """Test both webhooks as Graph does; return False if this machine is shut out.

    Raises DeploymentError if the app can be reached but answers wrongly.
    """
    return all(_handshake(f"{base}/{route}", clock) for route in ("notifications", "lifecycle"))


def _handshake(url: str, clock: Clock) -> bool:
    token = f"{secrets.token_urlsafe(12)} +%3A&"
    problem, closed = "", False
    for _ in attempts(clock, every=HANDSHAKE_POLL, within=HANDSHAKE_SECONDS):
        problem, closed = _look(url, token)
        if not problem:
            return True
    if closed:
        say(CLOSED.format(problem=problem))
        return False
    raise DeploymentError(
        f"The app does not answer Graph's handshake at {url}: {problem}. See Diagnose and solve problems in the portal."
    )


def _look(url: str, token: str) -> tuple[str, bool]:
    """The fault ("" for none), and whether this machine is shut out."""
    try:
        reply = web.request("POST", f"{url}?validationToken={quote(token, safe='')}", seconds=20.0)
    except OSError as failure:
        return f"it cannot be reached ({getattr(failure, 'reason', failure)})", True
    if reply.status == 403:
        return "it answered HTTP 403", True
    if reply.status != 200:
        return f"it answered HTTP {reply.status}", False
    return ("" if reply.body == token.encode() else "it did not answer with the token"), False


def health(site: Site, base: str, clock: Clock) -> None:
    """Show the app's health."""
    try:
        key = _key(site, clock)
        reply = web.request("GET", f"{base}/health", headers={"x-functions-key": key}, seconds=60.0)
        shown = json.loads(reply.body)
    except (DeploymentError, OSError, ValueError) as failure:
        say(f"Health: not shown ({failure})")
        return
    if not isinstance(shown, dict):
        say(f"Health: HTTP {reply.status}")
        return
    say(f"Health: {'healthy' if shown.get('healthy') else 'needs attention'} (HTTP {reply.status})")
    problems = [shown.get("problem"), *(shown.get("problems") or []), *(shown.get("warnings") or [])]
    for problem in filter(None, problems):
        say(f"  - {problem}")


def _key(site: Site, clock: Clock) -> str:
    """The function key, which exists once the app has started."""
    failure = DeploymentError("the app has no function key yet")
    for _ in attempts(clock, every=KEY_POLL, within=KEY_SECONDS):
        try:
            if key := site.function_key():
                return key
        except DeploymentError as refusal:
            failure = refusal
    raise failure
