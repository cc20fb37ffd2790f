"""A child process that ends with its parent.

The parent keeps the writing end of its child's stdin open and never writes. However the parent dies, also by
SIGKILL, the kernel closes that end, and the child sees end of file. This needs no process group, no polling of
parent ids, and works for grandchildren alike.
"""

import os
import sys
import threading


def exit_with_parent() -> None:
    """End this process, without clean-up, as soon as its stdin reaches end of file."""
    threading.Thread(target=_exit_at_end_of_file, name="exit-with-parent", daemon=True).start()


def _exit_at_end_of_file() -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        pass
    os._exit(0)
