"""Graph requests and the table of routes that answer them.

Paths are matched on their undecoded form, segment by segment: an id that holds `/` works only when the client has
escaped it, as at Graph. Literal segments and the version are case-insensitive, ids are not.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.simulator.api.tokens import Caller
from local.simulator.odata import GraphError, GraphReply

VERSIONS = ("v1.0", "beta")


@dataclass(frozen=True)
class GraphRequest:
    """An authenticated request; `root` is the root of links, `http://host/v1.0`."""

    method: str
    root: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller: Caller
    parameters: Mapping[str, str]

    @property
    def version(self) -> str:
        """The version of the service: `v1.0` or `beta`."""
        return self.root.rpartition("/")[2].lower()

    @property
    def address(self) -> str:
        """The request's address without its query, for links to the next page."""
        return "/".join((self.root, *self.segments))

    def context(self, what: str) -> str:
        """The `@odata.context` of a reply."""
        return f"{self.root}/$metadata#{what}"

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises GraphError."""
        try:
            body = json.loads(self.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
        return body

    def page_size(self, usual: int) -> int:
        """The size of a page: `usual`, or less where the client prefers that."""
        for preference in self.headers.get("prefer", "").split(","):
            name, _, value = preference.strip().partition("=")
            if name.lower().removeprefix("odata.") == "maxpagesize" and value.isdecimal() and int(value) > 0:
                return min(usual, int(value))
        return usual


type Handler = Callable[[GraphRequest], Awaitable[GraphReply]]


@dataclass(frozen=True)
class Route:
    """A method, a path such as `/users/{user}/onlineMeetings`, and what answers."""

    method: str
    path: str
    handler: Handler

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The decoded parameters of a path, None if it does not match."""
        pattern = self.path.strip("/").split("/")
        if len(pattern) != len(segments):
            return None
        parameters = {}
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{"):
                parameters[expected[1:-1]] = unquote(segment)
            elif expected.lower() != unquote(segment).lower():
                return None
        return parameters


def options(query: bytes) -> dict[str, str]:
    """The decoded query options, the last one winning."""
    return dict(parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True))


def find(routes: list[Route], method: str, segments: tuple[str, ...]) -> tuple[Handler, dict[str, str]]:
    """The handler of a request and its path parameters. Raises GraphError 400 or 405."""
    known = False
    for route in routes:
        parameters = route.match(segments)
        if parameters is not None:
            if route.method == method:
                return route.handler, parameters
            known = True
    if known:
        raise GraphError(
            405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target."
        )
    raise GraphError(400, "BadRequest", f"Resource not found for the segment '{unquote(segments[0])}'.")
