"""The calls that clients made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Call:
    """One request of a client; `status` is 0 if it got no reply."""

    method: str
    path: str
    status: int
    at: datetime
    client_request_id: str = ""
