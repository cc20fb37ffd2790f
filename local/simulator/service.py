"""Graph as an ASGI application: faults, tokens, routes, and common headers."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from local.simulator import moments, odata
from local.simulator.api import routing
from local.simulator.api.routing import VERSIONS, GraphRequest
from local.simulator.calls import Call
from local.simulator.faults.interruptions import body_of, hang, reset
from local.simulator.faults.replies import drops, pack, relink
from local.simulator.faults.responses import HANG_SECONDS, Fault
from local.simulator.odata import GraphError, GraphReply
from local.simulator.simulator import Simulator

NO_REPLY = 0


class GraphService:
    """All paths under the service root."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method: str = scope["method"]
        path = scope["raw_path"].decode("ascii")
        query: bytes = scope["query_string"]
        whole = f"{path}?{query.decode('latin-1')}" if query else path
        body = await body_of(receive)
        fault = self._simulator.faults.take(method, whole)
        action = fault.action if fault else None
        status = NO_REPLY
        if action == "reset":
            await reset(scope)
        elif fault and action == "hang":
            await hang(receive, fault.seconds or HANG_SECONDS)
            await reset(scope)
        else:
            reply, request_id, client_request_id = await self._reply(scope, path, body, fault)
            status = reply.status
            content = b"" if status == HTTPStatus.NO_CONTENT else reply.body.encode()
            content, packing = pack(fault, content)
            if action == "garble":
                content = content[: len(content) // 2] + b"\x00\xff"
            on_top = fault.headers if fault and action == "headers" else {}
            reply = GraphReply(status, reply.body, {**reply.headers, **packing, **on_top})
            headers = _headers(reply, content, request_id, client_request_id, self._date())
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if action == "cut":
                # A reply that ends before its Content-Length makes the server close the connection.
                await send(
                    {"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True}
                )
            elif fault and action == "drip":
                async for drop in drops(content, fault.seconds):
                    await send({"type": "http.response.body", "body": drop, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                await send({"type": "http.response.body", "body": content})
        own = next((value for name, value in scope["headers"] if name == b"client-request-id"), b"")
        self._simulator.calls.append(Call(method, whole, status, moments.now(), own.decode("latin-1")))

    def _date(self) -> str:
        offset = timedelta(seconds=self._simulator.settings.clock_offset)
        return format_datetime(moments.now() + offset, usegmt=True)

    async def _reply(
        self, scope: Scope, path: str, body: bytes, fault: Fault | None
    ) -> tuple[GraphReply, str, str]:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = str(uuid.uuid4())
        client_request_id = headers.get("client-request-id", request_id)
        if fault and fault.action == "delay":
            await asyncio.sleep(fault.seconds)
        try:
            if fault and fault.status is not None:
                reply = _faulty(fault, fault.status)
            else:
                reply = await self._answer(scope, path, headers, body)
                address = f"http://{headers.get('host', '127.0.0.1')}{path}"
                reply = relink(fault, reply, address, scope["query_string"].decode("latin-1"))
        except GraphError as error:
            date = moments.now().strftime("%Y-%m-%dT%H:%M:%S")
            text = odata.error_text(error.code, error.message, date, request_id, client_request_id)
            reply = GraphReply(error.status, text, error.headers)
        return reply, request_id, client_request_id

    async def _answer(self, scope: Scope, path: str, headers: dict[str, str], body: bytes) -> GraphReply:
        caller = self._simulator.tokens.caller(headers.get("authorization", ""))
        version, *segments = path.strip("/").split("/")
        if unquote(version).lower() not in VERSIONS:
            raise GraphError(400, "BadRequest", f"Invalid version: {unquote(version)}")
        handler, parameters = routing.find(self._simulator.routes, scope["method"], tuple(segments))
        request = GraphRequest(
            method=scope["method"],
            root=f"http://{headers.get('host', '127.0.0.1')}/{version}",
            segments=tuple(segments),
            query=routing.options(scope["query_string"]),
            headers=headers,
            body=body,
            caller=caller,
            parameters=parameters,
        )
        reply = await handler(request)
        if request.method != "GET":
            self._simulator.changed()
        return reply


def _faulty(fault: Fault, status: int) -> GraphReply:
    if fault.body is None:
        name = HTTPStatus(status).phrase.replace(" ", "") if status in set(HTTPStatus) else "UnknownError"
        raise GraphError(status, name, "This was asked for.", fault.headers)
    body = fault.body if isinstance(fault.body, str) else json.dumps(fault.body, ensure_ascii=False)
    return GraphReply(status, body, fault.headers)


def _headers(
    reply: GraphReply, content: bytes, request_id: str, client_request_id: str, date: str
) -> list[tuple[bytes, bytes]]:
    headers = {"request-id": request_id, "client-request-id": client_request_id, "date": date}
    if reply.status != HTTPStatus.NO_CONTENT:
        is_error = reply.status >= HTTPStatus.BAD_REQUEST
        headers["content-type"] = "application/json" if is_error else odata.CONTENT_TYPE
        headers["content-length"] = str(len(content))
    headers |= {name.lower(): value for name, value in reply.headers.items()}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
