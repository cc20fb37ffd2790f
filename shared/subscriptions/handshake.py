"""The app's own validation handshake on its webhook routes, as Graph makes it before it creates a subscription.

It warms a cold app, and it names the fault that Graph's answer would hide. Source:
https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

import secrets

import requests

from ..errors import SubscriptionError

TIMEOUT = 10.0  # seconds; what Graph allows
TRIES = 3  # the first may wake a cold app
MAX_BYTES = 4_096


def handshake(url: str) -> None:
    """Validate `url` as Graph will. Raises SubscriptionError with what it would object to."""
    token = f"{secrets.token_urlsafe(16)} +%3A&"
    problem = ""
    for _ in range(TRIES):
        try:
            problem = _handshake_problem(url, token)
        except requests.RequestException as failure:
            problem = f"did not answer within {TIMEOUT:.0f} s or cannot be reached ({type(failure).__name__})"
        if not problem:
            return
    raise SubscriptionError(f"The app's own handshake on {url.partition('?')[0]} failed: it {problem}.")


def _handshake_problem(url: str, token: str) -> str:
    with requests.post(
        url,
        params={"validationToken": token},
        headers={"Content-Type": "text/plain; charset=utf-8"},
        timeout=TIMEOUT,
        allow_redirects=False,
        stream=True,
    ) as response:
        body = response.raw.read(MAX_BYTES, decode_content=True)
    if response.status_code != requests.codes.ok:
        return f"answered {response.status_code} instead of 200"
    if not response.headers.get("Content-Type", "").lower().startswith("text/plain"):
        return "did not answer with text/plain"
    return "" if body == token.encode() else "did not answer with the token alone"
