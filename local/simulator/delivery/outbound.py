"""One POST with a deadline for connecting, sending, and the whole reply.

Ordinary clients bound each read, not the exchange, so an endpoint that trickles would never be late; and thousands of
waits must not need as many threads. Redirects are not followed: what does not answer itself has failed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

LARGEST_REPLY = 64 * 1024


@dataclass(frozen=True)
class EndpointReply:
    """The reply of an endpoint and how long it took."""

    status: int
    content_type: str
    body: bytes
    seconds: float


async def post(url: str, body: bytes, content_type: str, deadline: float) -> EndpointReply:
    """POST `body`.

    Raises TimeoutError after `deadline` seconds, OSError if no HTTP reply came.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = ssl.create_default_context() if secure else None
    started = time.monotonic()
    async with asyncio.timeout(deadline):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {
                "Host": parts.netloc.rpartition("@")[2],
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            connection = h11.Connection(h11.CLIENT)
            request = h11.Request(method="POST", target=target, headers=list(headers.items()))
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            await writer.drain()
            status, kind, reply = await _reply(connection, reader)
        except h11.RemoteProtocolError as error:
            raise ConnectionError(f"the reply is not HTTP: {error}") from error
        finally:
            writer.close()
    return EndpointReply(status, kind, reply, time.monotonic() - started)


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    status, content_type, body = 0, "", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(LARGEST_REPLY))
        elif isinstance(event, h11.Response):
            status = event.status_code
            content_type = dict(event.headers).get(b"content-type", b"").decode("latin-1")
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) > LARGEST_REPLY:
                raise ConnectionError("the reply is too large")
        elif isinstance(event, h11.EndOfMessage):
            return status, content_type, body
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the connection was closed without a reply")
