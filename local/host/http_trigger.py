"""The HTTP trigger: routes, complete requests in, unchanged replies out.

What no route and method fits is 404, as on the platform; a function that failed is 500 without a body. Keys are
not checked: the host binds to the loopback interface only.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.host.invocation import BoundFunction, Invoker, fresh_trace
from local.host.runtime import Failure, HttpRequest

LARGEST_BODY = 100 * 1024 * 1024
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class HttpRoute:
    """The route of an HTTP function; `bound` is None if its bindings do not resolve."""

    pattern: re.Pattern[str]
    methods: frozenset[str]
    bound: BoundFunction | None

    @classmethod
    def of(cls, name: str, trigger: dict[str, Any], prefix: str, bound: BoundFunction | None) -> Self:
        """The route of a trigger binding.

        Raises ValueError for a template with anything but {name} and {*name}.
        """
        template = (trigger.get("route") or name).strip("/")
        path = "/".join(part for part in (prefix, template) if part)
        pieces = re.split(r"(\{[^}]*\})", path)
        pattern = "".join(_parameter(piece) if piece[:1] == "{" else re.escape(piece) for piece in pieces)
        methods = frozenset(method.upper() for method in trigger.get("methods") or ())
        return cls(re.compile(f"/{pattern}/?", re.IGNORECASE), methods, bound)


def _parameter(piece: str) -> str:
    match = re.fullmatch(r"\{(\*?)([A-Za-z_]\w*)\}", piece)
    if not match:
        raise ValueError(f"route parameter {piece} is not supported by this host")
    return f"(?P<{match[2]}>{'.*' if match[1] else '[^/]+'})"


class HttpTriggers:
    """The ASGI application behind all HTTP functions of the app."""

    def __init__(self, routes: Sequence[HttpRoute], invoker: Invoker) -> None:
        self._routes = routes
        self._invoker = invoker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        for route in self._routes:
            match = route.pattern.fullmatch(request.scope["path"])
            if match and (not route.methods or request.method in route.methods):
                return await self._run(route.bound, request, match.groupdict())
        return Response(status_code=404)

    async def _run(self, bound: BoundFunction | None, request: Request, route: dict[str, str]) -> Response:
        if bound is None:
            return Response(status_code=503)
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        received = HttpRequest(
            request.method,
            _url(request),
            _joined(request.headers.items()),
            _joined(request.query_params.multi_items()),
            route,
            body,
        )
        try:
            reply = await self._invoker.run(bound, received, trace=_trace(request))
        except Failure:
            return Response(status_code=500)
        if reply is None:
            return Response(status_code=204)
        response = Response(reply.body, reply.status)
        for name, value in reply.headers:
            response.headers.append(name, value)
        return response


async def _body(request: Request) -> bytes | None:
    """The whole body, or None as soon as it is known to be too large."""
    if int(request.headers.get("content-length", 0)) > LARGEST_BODY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


def _url(request: Request) -> str:
    """The address as the client wrote it: decoding the path could not be undone."""
    host = request.headers.get("host", "localhost")
    path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
    return f"{request.scope['scheme']}://{host}{path}" + (f"?{query}" if query else "")


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The platform's form of repeated names: one value, joined by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _trace(request: Request) -> tuple[str, str]:
    parent = request.headers.get("traceparent", "")
    return (parent, request.headers.get("tracestate", "")) if TRACEPARENT.fullmatch(parent) else fresh_trace()
