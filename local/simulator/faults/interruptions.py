"""Connections that are reset, or that hang until the client leaves."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import Receive, Scope


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def hang(receive: Receive, seconds: float) -> None:
    """Wait for `seconds`, or until the client has left."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def reset(scope: Scope) -> None:
    """Reset the connection of a request."""
    transport: asyncio.Transport = scope["extensions"]["local.transport"]["transport"]
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await asyncio.sleep(0.01)  # until the server has seen that there is nobody left to answer
