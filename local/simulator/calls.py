"""The calls that clients made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Call:
    """One call of a client; `status` is 0 where it got no reply; `client_request_id` is the client's own."""

    method: str
    path: str
    status: int
    at: datetime
    client_request_id: str = ""
