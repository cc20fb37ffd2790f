"""The log on stderr: one line per record, with the name of the running function."""

import logging
import sys
import time

from local.host.runtime import Runtime

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s [%(function)s] %(message)s"


def configure(runtime: Runtime) -> None:
    """Send every logger of the process to stderr; stdout is for the host's line."""

    def name_function(record: logging.LogRecord) -> bool:
        if not hasattr(record, "function"):
            record.function = runtime.current or "host"
        return True

    formatter = logging.Formatter(LINE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(name_function)
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # Every request to storage and identity is otherwise two long lines.
    logging.getLogger("azure").setLevel(logging.WARNING)
    # A token that cannot be had is reported by whoever needed it.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
