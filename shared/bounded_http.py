"""HTTP requests whose answers are bounded: in time as a whole, in size, and in how they may be packed.

        socket ── each wait cut to what is left of the deadline ──▶ head, then body
        body   ── plain or gzip, unpacked piece by piece        ──▶ at most so many bytes

A read timeout bounds only the silence between two packets, and an answer that drips never ends by it. The decoder of
urllib3 keeps to the size that `read1` asks for, except where encodings are stacked: those are not asked for, and are
refused. Redirects are not followed, and where one points to is never looked at, because a token would go along.
"""

from __future__ import annotations

import http.client
import io
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

CONNECT_TIMEOUT = 5.0  # seconds
SILENCE = 30.0  # seconds between two packets
PIECE = 64 * 1024
ERROR_BYTES = 64 * 1024  # of the body beside an error status; what is beyond adds nothing
ERROR_SECONDS = 5.0  # for that body
_FAILURES = requests.RequestException, HTTPError, ValueError  # the last: a header that cannot be read
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip"})


class NoAnswer(Exception):
    """No whole answer came; the text names the kind of failure and quotes nothing."""


class Unbounded(Exception):
    """An answer over its bounds; the text says which, and quotes nothing."""


class TooLarge(Unbounded):
    """An answer of more bytes than are read."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; `content` is unpacked. Beside an error status it may be empty, or cut at ERROR_BYTES."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class BoundedSession(requests.Session):
    """Connections that are kept for the next request. Safe to share between threads."""

    def __init__(self, connections: int = 1) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "gzip"
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(pool_connections=2, pool_maxsize=connections))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: `requests` would read the whole body of a redirect to prepare the next request."""
        return None

    def ask(
        self, method: str, url: str, *, seconds: float, most: int, silence: float = SILENCE, **arguments: Any
    ) -> Answer:
        """The answer to one request, of at most `most` bytes, whole within `seconds`.

        Raises NoAnswer, or Unbounded for one that is too large, too slow or packed in another way than asked for.
        """
        _waiting.until = time.monotonic() + seconds
        try:
            with self.request(
                method,
                url,
                timeout=(CONNECT_TIMEOUT, silence),
                stream=True,
                allow_redirects=False,
                **arguments,
            ) as response:
                read = _content if response.ok else _content_of_error
                return Answer(response.status_code, response.headers, read(response, most))
        except _FAILURES as failure:
            if time.monotonic() >= _waiting.until:
                raise Unbounded("the answer takes too long") from None
            raise NoAnswer(f"no whole answer ({type(failure).__name__})") from None
        finally:
            _waiting.until = math.inf


class _Waiting(threading.local):
    until = math.inf


_waiting = _Waiting()


class _UntilDeadline(io.RawIOBase):
    """The reading side of a socket, until the deadline of this thread's request."""

    def __init__(self, source: io.RawIOBase, sock: Any) -> None:
        self._source = source
        self._sock = sock
        self._silence = sock.gettimeout() or SILENCE

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come, or wait for it. Raises TimeoutError."""
        left = _waiting.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        self._sock.settimeout(min(self._silence, left))
        return self._source.readinto(buffer)

    def close(self) -> None:
        """Close the side that is read."""
        super().close()
        self._source.close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **named: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _TlsPool}


def _content(response: requests.Response, most: int) -> bytes:
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise Unbounded("the answer is packed in a way that was not asked for")
    pieces: list[bytes] = []
    size = 0
    while piece := response.raw.read1(PIECE, decode_content=True):
        size += len(piece)
        if size > most:
            raise TooLarge("the answer is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _content_of_error(response: requests.Response, most: int) -> bytes:
    """What can be had at once: the status counts, whatever its body is."""
    _waiting.until = min(_waiting.until, time.monotonic() + ERROR_SECONDS)
    try:
        return _content(response, min(most, ERROR_BYTES))
    except (Unbounded, *_FAILURES):
        return b""
