"""The host's web application: admin routes, and behind them the HTTP functions."""

import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from local.host.host import Host, trigger_type
from local.host.http_trigger import HttpTriggers
from local.host.runtime import VERSION


class Admin:
    """Answers about the host, and runs a function on demand."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def application(self) -> Starlette:
        """The ASGI application of the whole host."""
        functions = HttpTriggers(self._host.routes, self._host.invoker)
        unavailable = Response(status_code=503)
        return Starlette(
            routes=[
                Route("/", self.home),
                Route("/admin/host/status", self.status),
                Route("/admin/functions", self.functions),
                Route("/admin/functions/{name}", self.run, methods=["POST"]),
                Mount("/", functions if self._host.state == "Running" else unavailable),
            ]
        )

    async def home(self, request: Request) -> Response:
        """200, as the platform's landing page."""
        return Response("The functions host is running.", media_type="text/plain")

    async def status(self, request: Request) -> Response:
        """The host's state, and everything that is wrong with the app."""
        return JSONResponse({"state": self._host.state, "version": VERSION, "errors": self._host.errors})

    async def functions(self, request: Request) -> Response:
        """Every function that the app declares."""
        listed = self._host.functions.values()
        return JSONResponse(
            [{"name": function.name, "trigger": trigger_type(function)} for function in listed]
        )

    async def run(self, request: Request) -> Response:
        """Start a run of a queue or timer function, and answer 202 at once."""
        function = self._host.functions.get(request.path_params["name"])
        if self._host.state != "Running":
            return Response(status_code=503)
        if function is None:
            return Response(status_code=404)
        try:
            text = (await request.json())["input"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return Response(status_code=400)
        if trigger_type(function) == "httpTrigger" or not isinstance(text, str):
            return Response(status_code=400)
        listener = self._host.listeners.get(function.name)
        if listener is None:
            return Response(status_code=503)
        listener.trigger(text)
        return Response(status_code=202)
