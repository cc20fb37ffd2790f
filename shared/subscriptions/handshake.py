"""Call the app's own webhook, as Graph does before it creates a subscription.

That wakes a cold app and describes a fault that Graph's answer would hide. It decides nothing: because of an access
restriction or private DNS, the app may fail to reach an address that Graph reaches. Source:
https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

import math
import secrets
import time

import requests
from urllib3.exceptions import NameResolutionError

from ..bounded_http import BoundedSession, NoAnswer, Unbounded

ROUTES = ("notifications", "lifecycle")
TIMEOUT = 10.0  # seconds, as Graph waits
MIN_TIMEOUT = 2.0
TRIES = 3  # the first may wake a cold app
MAX_BYTES = 4_096


def check_handshake(base_url: str, seconds: float = math.inf) -> str:
    """Try the handshake on both routes, for so many seconds at most.

    Return the first failure, or "".
    """
    deadline = time.monotonic() + seconds
    for route in ROUTES:
        url = f"{base_url}/{route}"
        problem = ""
        for number in range(TRIES):
            left = deadline - time.monotonic()
            if number and left < MIN_TIMEOUT:
                return f"{url} {problem}"
            problem = _problem(url, min(TIMEOUT, max(left, MIN_TIMEOUT)))
            if not problem:
                break
        else:
            return f"{url} {problem}"
    return ""


def _problem(url: str, timeout: float) -> str:
    token = f"{secrets.token_urlsafe(16)} +%3A&"
    try:
        with BoundedSession() as session:
            answer = session.ask(
                "POST",
                url,
                seconds=timeout,
                most=MAX_BYTES,
                silence=timeout,
                params={"validationToken": token},
                headers={"Content-Type": "text/plain; charset=utf-8"},
            )
    except NoAnswer as failure:
        return _connection_problem(failure)
    except Unbounded as failure:
        return f"did not answer with the token: {failure}"
    if answer.status in (requests.codes.unauthorized, requests.codes.forbidden):
        return f"answered {answer.status}, as an access restriction does"
    if answer.status != requests.codes.ok:
        return f"answered {answer.status} instead of 200"
    if not answer.headers.get("Content-Type", "").lower().startswith("text/plain"):
        return "did not answer with text/plain"
    return "" if answer.content == token.encode() else "did not answer with the token alone"


def _connection_problem(failure: NoAnswer) -> str:
    cause = failure.__cause__
    if not isinstance(cause, requests.RequestException):
        return f"did not answer with the token: {failure}"
    reason = getattr(cause.args[0], "reason", None) if cause.args else None
    if isinstance(reason, NameResolutionError):
        return "has no address in this network's DNS"
    return f"cannot be reached ({type(cause).__name__})"
