"""A proxy before the stack's queues that delays each message."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.stack.compose import Stack
from tests.storm.faulty_storage import Chances, serve


class Delay(Chances):
    """No faults, but a pause for each message that is sent."""

    def __init__(self, seconds: float) -> None:
        super().__init__(0.0, 0)
        self._seconds = seconds

    def draw(self, method: str, path: str, conditions: set[str]) -> str:
        """Never a fault."""
        if method == "POST" and "/messages" in path:
            time.sleep(self._seconds)
        return ""


@contextmanager
def before(running: Stack, seconds: float) -> Iterator[dict[str, str]]:
    """The settings that lead the functions host to a queue whose writes take so long."""
    with serve(running.azurite.queue_url, running, Delay(seconds)) as queue:
        yield {"AzureWebJobsStorage__queueServiceUri": queue}
