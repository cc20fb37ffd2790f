"""A refusal of the login endpoint, in the form that OAuth 2.0 and Microsoft Entra ID give it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class LoginError(Exception):
    """`error` is OAuth's word, `code` the number behind AADSTS."""

    error: str
    code: int
    message: str
    status: int = 400

    def body(self) -> dict[str, object]:
        """What is answered."""
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
