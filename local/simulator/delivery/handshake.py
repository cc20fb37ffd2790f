"""Validation of a notification URL: it must echo a token within 10 seconds.

Exactly 200, `text/plain`, and the URL-decoded token as the whole body; nothing else passes.
Source: Receive change notifications through webhooks, notificationUrl validation.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from urllib.parse import quote

from local.simulator.delivery import outbound
from local.simulator.odata import GraphError

DEADLINE = 10.0
_FAILED = "Subscription validation request failed. "


async def validate(url: str, deadline_scale: float) -> None:
    """Validate one URL.

    Raises GraphError 400 with the reason, as creating a subscription shows it.
    """
    token = f"Validation: Testing client application reachability + 100% & more: {uuid.uuid4()}"
    separator = "&" if "?" in url else "?"
    address = f"{url}{separator}validationToken={quote(token, safe='')}"
    try:
        answer = await outbound.post(address, b"", "text/plain; charset=utf-8", DEADLINE / deadline_scale)
    except TimeoutError:
        raise GraphError(400, "InvalidRequest", "Subscription validation request timed out.") from None
    except OSError:
        raise _failed("The notification endpoint could not be reached.") from None
    if answer.status != HTTPStatus.OK:
        name = HTTPStatus(answer.status).name if answer.status in _STATUSES else str(answer.status)
        status = name.title().replace("_", "")
        raise _failed(
            "Notification endpoint must respond with 200 OK to validation request. "
            f"HTTP status code is '{status}'."
        )
    if answer.content_type.partition(";")[0].strip().lower() != "text/plain":
        raise _failed("The response must have the content type text/plain.")
    if answer.body != token.encode():
        raise _failed("Response must exactly match the validationToken query parameter.")


_STATUSES = {int(status) for status in HTTPStatus}


def _failed(reason: str) -> GraphError:
    return GraphError(400, "ValidationError", _FAILED + reason)
