"""`python -m shared.cli`, which is the same as `attendance`."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Import and run the command line.

    Ctrl-C during the half second of imports, or before the command begins, ends it without a traceback.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from . import main as command_line

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        command_line.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
