"""An HTTP server that sends exactly these bytes, piece by piece: what no well-behaved server can be made to send."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

PAUSE = 0.02  # seconds between two pieces
type Pieces = Callable[[], Iterable[bytes]]


class RawServer:
    """Answers each request with the pieces of the next script, and the last script for ever."""

    def __init__(self, *scripts: Pieces, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._tls = tls
        self.root = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in `accept`
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client may leave at any time
            self._answer(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            while head := b"".join(itertools.takewhile(lambda line: line not in (b"", b"\r\n"), incoming)):
                self.heads.append(head)
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                for number, piece in enumerate(script()):
                    if number and self._stopped.wait(PAUSE):
                        return
                    connection.sendall(piece)


@contextmanager
def serving(*scripts: Pieces, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A server while the context lasts."""
    server = RawServer(*scripts, tls=tls)
    try:
        yield server
    finally:
        server.stop()


def whole(body: bytes = b'{"ok":true}', status: int = 200, **headers: str) -> Pieces:
    """An answer in one piece. `_` in a header's name is `-`."""
    return lambda: [head(len(body), status, **headers) + body]


def head(length: int, status: int = 200, **headers: str) -> bytes:
    """The head of an answer with a body of so many bytes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def dripping(begin: bytes, drop: bytes = b" ") -> Pieces:
    """An answer that begins so and then never ends, a drop at a time."""
    return lambda: itertools.chain([begin], itertools.repeat(drop))


CHUNKED = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "head": dripping(b"HTTP/1.1 200 X\r\nA: b", b"c"),
    "line of the head": dripping(b"HTTP/1.1 200 X\r\n", b"A: b\r\n"),
    "body": dripping(head(10_000_000)),
    "body without a length": dripping(b"HTTP/1.1 200 X\r\n\r\n"),
    "chunk": dripping(CHUNKED + b"ffff\r\n"),
    "chunks": dripping(CHUNKED, b"1\r\n \r\n"),
    "size of a chunk": dripping(CHUNKED + b"1;", b"x"),
    "trailer": dripping(CHUNKED + b"1\r\n \r\n0\r\n", b"A: b\r\n"),
}
