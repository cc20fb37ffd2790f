"""A listener: waits for work for one function, until the host stops."""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress

log = logging.getLogger(__name__)


class Listener(ABC):
    """A loop on the host's event loop, which stops only between two pieces of work."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.about = {"function": name}
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._extra: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start to listen."""
        self._task = asyncio.create_task(self._outlive_errors(), name=self.name)

    async def stop(self) -> None:
        """Take no new work, and wait for running functions."""
        self._stopping.set()
        if self._task:
            await self._task
        await asyncio.gather(*self._extra)

    def trigger(self, text: str) -> None:
        """Start one run of the function outside its turn, with the admin route's input."""
        run = asyncio.create_task(self.run_now(text))
        self._extra.add(run)
        run.add_done_callback(self._extra.discard)

    @property
    def stopping(self) -> bool:
        """Whether the host is about to stop."""
        return self._stopping.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait for so many seconds, or until the host stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    @abstractmethod
    async def listen(self) -> None:
        """Work until `stopping`."""

    @abstractmethod
    async def run_now(self, text: str) -> None:
        """Run the function once with `text` as its input, if it takes one."""

    async def _outlive_errors(self) -> None:
        while not self.stopping:
            try:
                await self.listen()
            except Exception:
                log.exception("the listener starts again", extra=self.about)
                await self.pause(1)
