"""HTTP with the standard library, without redirects.

A token goes only to the host that it is for.
"""

import http.client
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, override

MAX_BYTES = 1024 * 1024  # of a reply
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body, for people."""
        return self.body.decode("utf-8", "replace")


def root(host: str) -> str:
    """Return the address of `host`: https, except on the loopback interface."""
    return f"{'http' if host.partition(':')[0] in LOOPBACK else 'https'}://{host}"


def request(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: Path | None = None,
    seconds: float = 30.0,
) -> Reply:
    """Send a request, with a file as its body. Raises OSError when no answer comes."""
    content = body.open("rb") if body else (b"" if method == "POST" else None)
    fields = dict(headers or {})
    if body:
        fields["Content-Length"] = str(body.stat().st_size)
    asked = urllib.request.Request(url, content, fields, method=method)  # noqa: S310 - https, or loopback
    try:
        with _OPENER.open(asked, timeout=seconds) as response:
            return Reply(response.status, response.headers, response.read(MAX_BYTES))
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Reply(refusal.code, refusal.headers, refusal.read(MAX_BYTES))
    except http.client.HTTPException as failure:
        raise OSError(f"no HTTP answer ({type(failure).__name__})") from None
    finally:
        if body and content:
            content.close()  # type: ignore[union-attr]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any) -> None:
        """Follow nothing: the redirect itself is the answer."""
        return


class _Patient:
    """A connection that reads an answer sent before the whole body was received."""

    def request(self, *arguments: Any, **options: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            super().request(*arguments, **options)  # type: ignore[misc]


class _PatientHTTP(_Patient, http.client.HTTPConnection):
    pass


class _PatientHTTPS(_Patient, http.client.HTTPSConnection):
    pass


class _HTTPHandler(urllib.request.HTTPHandler):
    @override
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PatientHTTP, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    @override
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PatientHTTPS, req)


_OPENER = urllib.request.build_opener(_NoRedirects, _HTTPHandler, _HTTPSHandler)
