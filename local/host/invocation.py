"""One run of a function: call it, write its outputs, report the result.

The outputs are written after the function returned and before anyone hears of it, so an HTTP reply or a deleted
message means that they are durable. A run over `functionTimeout` ends the process, as the platform ends its
worker: a thread cannot be stopped from outside.
"""

import asyncio
import logging
import os
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError

from local.host.connections import AppSettings
from local.host.queue_output import QueueOutput
from local.host.runtime import Failure, Function, HttpReply, Runtime, TriggerInput

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoundFunction:
    """A function with resolved bindings: its trigger, and its output queues."""

    function: Function
    trigger: dict[str, Any]
    outputs: dict[str, QueueOutput]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name


def bind(function: Function, settings: AppSettings, base64: bool) -> BoundFunction:
    """Resolve a function's bindings.

    Raises MissingSettingError or ValueError, which name the binding.
    """
    outputs = {}
    triggers = []
    for declared in function.bindings:
        binding = {
            key: settings.resolve(value) if isinstance(value, str) else value
            for key, value in declared.items()
        }
        match binding["type"], binding["direction"]:
            case kind, "IN" if kind.endswith("Trigger"):
                triggers.append(binding)
            case "queue", "OUT":
                client = settings.queue(binding["connection"], binding["queueName"])
                outputs[binding["name"]] = QueueOutput(client, base64)
            case "http", "OUT":
                pass
            case kind, _:
                raise ValueError(f"this host has no {kind} binding")
    [trigger] = triggers
    return BoundFunction(function, trigger, outputs)


def fresh_trace() -> tuple[str, str]:
    """A new W3C trace context: (traceparent, tracestate)."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01", ""


class Invoker:
    """Runs bound functions, on behalf of every trigger."""

    def __init__(self, runtime: Runtime, timeout: float) -> None:
        self._runtime = runtime
        self._timeout = timeout

    async def run(
        self,
        bound: BoundFunction,
        value: TriggerInput,
        metadata: Mapping[str, Any] | None = None,
        trace: tuple[str, str] | None = None,
        attempt: int = 0,
    ) -> HttpReply | None:
        """Call the function and write its outputs.

        Raises Failure when either does not succeed.
        """
        about = {"function": bound.name}
        started = time.perf_counter()
        try:
            reply = await self._run(bound, value, metadata or {}, trace or fresh_trace(), attempt)
        except TimeoutError:
            log.critical("not done within functionTimeout (%s s): the host exits", self._timeout, extra=about)
            os._exit(1)
        except Failure as error:
            log.error("failed after %.0f ms: %s", (time.perf_counter() - started) * 1000, error, extra=about)
            raise
        log.info("succeeded in %.0f ms", (time.perf_counter() - started) * 1000, extra=about)
        return reply

    async def _run(
        self,
        bound: BoundFunction,
        value: TriggerInput,
        metadata: Mapping[str, Any],
        trace: tuple[str, str],
        attempt: int,
    ) -> HttpReply | None:
        async with asyncio.timeout(self._timeout):
            outcome = await self._runtime.invoke(
                bound.function, str(uuid.uuid4()), bound.trigger["name"], value, metadata, trace, attempt
            )
        for name, items in outcome.outputs.items():
            try:
                await asyncio.to_thread(bound.outputs[name].send, items)
            except AzureError as error:
                raise Failure(f"output '{name}' could not be written: {error}") from error
        return outcome.reply
