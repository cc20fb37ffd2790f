"""Loopback ports: the same as last time if free, otherwise any other."""

import socket

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do, so that connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_or_any(port: int) -> int:
    """The port if it is free, otherwise 0: whichever the system gives."""
    return port if is_free(port) else 0


def pick(port: int = 0) -> int:
    """The port if it is free, otherwise another that is free at this moment."""
    if port and is_free(port):
        return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        chosen: int = probe.getsockname()[1]
    return chosen
