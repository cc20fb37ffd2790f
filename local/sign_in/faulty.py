"""A gateway before an application, which injects faults and records requests."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.simulator import moments
from local.simulator.calls import Call
from local.simulator.faults.interruptions import body_of, hang, reset
from local.simulator.faults.responses import HANG_SECONDS, Fault, Faults


class Faulty:
    """An application that answers as `app` does, unless a fault is due."""

    def __init__(self, app: ASGIApp, faults: Faults, calls: deque[Call]) -> None:
        self._app = app
        self._faults = faults
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["raw_path"].decode("ascii")
        fault = self._faults.take(scope["method"], path)
        action = fault.action if fault else None
        status = 0
        if action == "reset":
            await reset(scope)
        elif fault and action == "hang":
            await hang(receive, fault.seconds or HANG_SECONDS)
            await reset(scope)
        else:
            if fault and action == "delay":
                await asyncio.sleep(fault.seconds)
            start, content = await self._reply(scope, receive, fault)
            status = start["status"]
            await send(start)
            # A reply that ends before its Content-Length makes the server close the connection.
            cut = action == "cut"
            await send({"type": "http.response.body", "body": content[: len(content) // 2] if cut else content,
                        "more_body": cut})  # fmt: skip
        self._calls.append(Call(scope["method"], path, status, moments.now()))

    async def _reply(self, scope: Scope, receive: Receive, fault: Fault | None) -> tuple[Message, bytes]:
        if fault and fault.status is not None:
            return _asked_for(fault, fault.status)
        sent: list[Message] = []
        body = await body_of(receive)

        async def whole() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            sent.append(message)

        await self._app(scope, whole, keep)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        if fault and fault.action == "garble":
            content = content[: len(content) // 2] + b"\x00\xff"
            others = [(name, value) for name, value in sent[0]["headers"] if name != b"content-length"]
            sent[0]["headers"] = [*others, (b"content-length", str(len(content)).encode())]
        return sent[0], content


def _asked_for(fault: Fault, status: int) -> tuple[Message, bytes]:
    text = (
        fault.body
        if isinstance(fault.body, str)
        else json.dumps(fault.body or {"error": HTTPStatus(status).phrase})
    )
    content = text.encode()
    headers = {"content-type": "application/json", "content-length": str(len(content))} | {
        name.lower(): value for name, value in fault.headers.items()
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}, content
