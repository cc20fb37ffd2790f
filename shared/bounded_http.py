"""HTTP requests with bounds on the answer's total time, size and encoding.

        socket ── each wait cut to what is left of the deadline ──▶ head, then body
        body   ── plain or gzip, unpacked piece by piece        ──▶ at most so many bytes

A read timeout bounds only the silence between two packets; a slow trickle of bytes never triggers it. The decoder of
urllib3 respects the size passed to `read1`, except for stacked encodings: those are not requested, and are rejected.
Redirects are not followed and their target is not read, because the token would be sent along.
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
    """No complete answer arrived; the text names the kind of failure only.

    The cause may quote the address.
    """


class Unbounded(Exception):
    """An answer beyond its bounds; the text says which, and quotes nothing."""


class TooLarge(Unbounded):
    """An answer with more bytes than allowed."""


@dataclass(frozen=True)
class Answer:
    """A complete answer; `content` is unpacked.

    With an error status, it may be empty or cut at ERROR_BYTES.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate with the request's own headers alone.

    Without this, `requests` looks the host up in ~/.netrc, and a password there replaces our Authorization header.
    """
    return request


class BoundedSession(requests.Session):
    """HTTP connections that are reused; safe to share between threads."""

    def __init__(self, connections: int = 1) -> None:
        super().__init__()
        self.auth = keep_headers
        self.headers["Accept-Encoding"] = "gzip"
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(pool_connections=2, pool_maxsize=connections))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: `requests` would read a redirect's whole body otherwise."""
        return None

    def ask(
        self, method: str, url: str, *, seconds: float, most: int, silence: float = SILENCE, **arguments: Any
    ) -> Answer:
        """Return the answer to a request, of `most` bytes within `seconds` at most.

        Raises NoAnswer, or Unbounded for an answer that is too large, too slow or in another encoding than requested.
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
            raise NoAnswer(f"no whole answer ({type(failure).__name__})") from failure
        finally:
            _waiting.until = math.inf


class _Waiting(threading.local):
    until = math.inf


_waiting = _Waiting()


class _UntilDeadline(io.RawIOBase):
    """The reading side of a socket, up to the deadline of this thread's request."""

    def __init__(self, source: io.RawIOBase, sock: Any) -> None:
        self._source = source
        self._sock = sock
        self._silence = sock.gettimeout() or SILENCE

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read available bytes, or wait for them. Raises TimeoutError."""
        left = _waiting.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        self._sock.settimeout(min(self._silence, left))
        return self._source.readinto(buffer)

    def close(self) -> None:
        """Close the reading side."""
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
        raise Unbounded("the answer has an encoding that was not requested")
    pieces: list[bytes] = []
    size = 0
    while piece := response.raw.read1(PIECE, decode_content=True):
        size += len(piece)
        if size > most:
            raise TooLarge("the answer is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _content_of_error(response: requests.Response, most: int) -> bytes:
    """Read the body of an error if it comes soon; the status counts in any case."""
    _waiting.until = min(_waiting.until, time.monotonic() + ERROR_SECONDS)
    try:
        return _content(response, min(most, ERROR_BYTES))
    except (Unbounded, *_FAILURES):
        return b""
