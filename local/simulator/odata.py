"""OData as Graph uses it: entities, collections, next links, errors.

An entity is a mapping from property name to that property's JSON text, so that the order of properties and the
form of numbers are exactly those of the simulated world.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

type Entity = dict[str, str]

CONTENT_TYPE = (
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class GraphReply:
    """A route's response: status, JSON text or nothing, and additional headers."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class GraphError(Exception):
    """A refusal: `status`, Graph's `code` and `message`, and perhaps headers."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def text(value: object) -> str:
    """`value` as compact JSON text."""
    return _ENCODER.encode(value)


def entity(**properties: object) -> Entity:
    """An entity out of plain values."""
    return {name: text(value) for name, value in properties.items()}


def entity_text(properties: Mapping[str, str]) -> str:
    """An entity as JSON text."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in properties.items()) + "}"


def collection(
    context: str, items: Iterable[Mapping[str, str]], next_link: str | None = None, count: int | None = None
) -> str:
    """A collection as JSON text; `count` is that of all pages, where it was asked for."""
    page = {"@odata.context": text(context)}
    if count is not None:
        page["@odata.count"] = text(count)
    if next_link is not None:
        page["@odata.nextLink"] = text(next_link)
    page["value"] = "[" + ",".join(entity_text(item) for item in items) + "]"
    return entity_text(page)


def select_properties(properties: Entity, select: str | None) -> Entity:
    """The properties that `$select` names, or all.

    Raises GraphError for an unknown name.
    """
    if not select:
        return properties
    names = [name.strip() for name in select.split(",")]
    unknown = [name for name in names if name not in properties]
    if unknown:
        raise GraphError(400, "BadRequest", f"Could not find a property named '{unknown[0]}'.")
    return {name: value for name, value in properties.items() if name in names}


def skip_token(*position: str) -> str:
    """An opaque token that `position_of` reads."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def position_of(token: str) -> list[str]:
    """What `skip_token` was given. Raises GraphError for anything else."""
    try:
        position = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        position = None
    if not isinstance(position, list) or not all(isinstance(part, str) for part in position):
        raise GraphError(400, "BadRequest", "The skip token is malformed.")
    return position


def offset_of(token: str | None) -> int:
    """The offset that a skip token holds, 0 without one. Raises GraphError."""
    if token is None:
        return 0
    position = position_of(token)
    if len(position) != 1 or not position[0].isdecimal():
        raise GraphError(400, "BadRequest", "The skip token is malformed.")
    return int(position[0])


def link(address: str, **options: str | None) -> str:
    """`address` with the query options that are not None, as in `$select=id`."""
    query = "&".join(
        f"${name}={quote(value, safe='')}" for name, value in options.items() if value is not None
    )
    return f"{address}?{query}" if query else address


def error_text(code: str, message: str, date: str, request_id: str, client_request_id: str) -> str:
    """The body of a refusal."""
    inner = {"date": date, "request-id": request_id, "client-request-id": client_request_id}
    return text({"error": {"code": code, "message": message, "innerError": inner}})
