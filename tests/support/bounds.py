"""Bounds of what a test waits for."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def killed_after(process: subprocess.Popen[str] | subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kill a program that is still running after so many seconds: whoever reads its output then reads its end."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
