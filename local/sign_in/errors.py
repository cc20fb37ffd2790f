"""Refusals of the login endpoint, in OAuth's and Microsoft Entra ID's form."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class LoginError(Exception):
    """A refusal; `error` is OAuth's name, `code` the number after AADSTS."""

    error: str
    code: int
    message: str
    status: int = 400

    def body(self) -> dict[str, object]:
        """The response body."""
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.message} Trace ID: {trace} "
            f"Correlation ID: {correlation} Timestamp: {now}",
            "error_codes": [self.code],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
        }
