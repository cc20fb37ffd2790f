"""Check whether a large body can hold an authentic item, before parsing it.

Anyone can post to the webhooks, and parsing a megabyte of JSON keeps the only event loop of an instance busy for some
40 ms; this check takes a few. It saves work and decides nothing: each item of a body that passes is authenticated after
parsing, as in a small one. Nothing genuine is held back, and the time taken tells nothing about a client state but its
length. Standard library only: the webhook loads this module.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from itertools import islice

SMALL = 16 * 1024  # bytes; such a body is parsed in less than a millisecond

_SUBSCRIPTION_ID = re.compile(
    rb'"subscriptionId"\s*:\s*"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"'
)


def is_escaped(body: bytes) -> bool:
    r"""Whether a client state may be written in another way.

    As `\u0061`, or in UTF-16 or UTF-32.
    """
    return b"\\u" in body or b"\x00" in body


def holds_state(body: bytes, client_states: Iterable[str]) -> bool:
    """Whether a body has one of these client states as a `clientState`.

    The body must not be escaped.
    """
    found = [
        hmac.compare_digest(match[1], state.encode())
        for state in client_states
        for match in re.finditer(rb'"clientState"\s*:\s*"([A-Za-z0-9._~-]{%d})"' % len(state), body)
    ]
    return any(found)


def subscription_ids(body: bytes, most: int) -> tuple[str, ...]:
    """The first `most` subscriptions that a body names."""
    return tuple(match[1].decode() for match in islice(_SUBSCRIPTION_ID.finditer(body), most))
