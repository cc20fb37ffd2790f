"""What all control routes share: how orders are read, how mistakes are answered, and that changes are saved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulator import wire
from local.simulator.simulator import Simulator

DONE = 204

type Endpoint = Callable[[Request], Awaitable[Response]]


class Controls:
    """Some control routes, acting on one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._world = simulator.world

    def _route(self, method: str, path: str, answer: Endpoint) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request)
            except KeyError as missing:
                return JSONResponse({"error": f"there is no {missing}"}, 404)
            except ValueError as wrong:
                return JSONResponse({"error": str(wrong)}, 400)
            if method != "GET":
                self._simulator.changed()
            return response

        return Route(path, endpoint, methods=[method])


async def read[T](request: Request, kind: type[T]) -> T:
    """The order in the body. Raises ValueError."""
    return wire.from_wire(kind, await body(request))  # type: ignore[type-var]


async def body(request: Request) -> Any:
    """The body as JSON; an empty one is an empty object."""
    return await request.json() if await request.body() else {}
