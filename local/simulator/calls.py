"""The calls that clients made, for those who want to look behind the simulator."""

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
