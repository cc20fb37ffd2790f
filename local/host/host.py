"""A loaded app: which functions can be served, and what is wrong with the others.

A fault in one function's settings puts that function in error and leaves the rest running. An app that does not
index, or a host.json that cannot be read, leaves a host that only tells so.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient

from local.host import hostjson
from local.host.connections import AppSettings, MissingSettingError
from local.host.event_hub_trigger import CONTAINER as HUB_CONTAINER
from local.host.event_hub_trigger import EventHubListener
from local.host.hostjson import HostJson
from local.host.http_trigger import HttpRoute
from local.host.invocation import BoundFunction, Invoker, bind
from local.host.listener import Listener
from local.host.queue_trigger import QueueListener
from local.host.runtime import Function, IndexingError, Runtime
from local.host.schedule import Schedule
from local.host.timer_trigger import CONTAINER, StatusBlob, Timer

log = logging.getLogger(__name__)

LEASE_SECONDS = 600
STORAGE = "AzureWebJobsStorage"


class Host:
    """The app in `folder` under the settings in `environment`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], runtime: Runtime) -> None:
        self.errors: list[str] = []
        self.functions: dict[str, Function] = {}
        self.listeners: dict[str, Listener] = {}
        self.routes: list[HttpRoute] = []
        self.state = "Running"
        self._settings = AppSettings(environment)
        self._lease = int(environment.get("LOCAL_LEASE_SECONDS", LEASE_SECONDS))
        self._hubs = environment.get("LOCAL_EVENT_HUBS", "")
        self._retry_scale = float(environment.get("LOCAL_RETRY_SCALE", "1"))
        self._id = environment.get("AzureFunctionsWebHost__hostid", "local")
        self._options = HostJson()
        try:
            self._options = hostjson.load(folder / "host.json", environment)
            logging.getLogger().setLevel(self._options.log_level)
            self.functions = {function.name: function for function in runtime.index(folder)}
        except (IndexingError, ValueError) as error:
            self.state = "Error"
            self._report(str(error))
        self.invoker = Invoker(runtime, self._options.function_timeout)
        for function in self.functions.values():
            if self._settings.disables(function.name):
                log.info("%s is disabled", function.name)
                continue
            try:
                self._serve(function)
            except (MissingSettingError, ValueError) as error:
                self._report(f"{function.name}: {error}")
                self._refuse(function)

    def start(self) -> None:
        """Start the queue listeners and timers."""
        for listener in self.listeners.values():
            listener.start()

    async def stop(self) -> None:
        """Take no new work from queues and timers, and wait for running functions."""
        await asyncio.gather(*(listener.stop() for listener in self.listeners.values()))

    def _serve(self, function: Function) -> None:
        bound = bind(function, self._settings, self._options.queues.base64)
        match bound.trigger["type"]:
            case "httpTrigger":
                self.routes.append(HttpRoute.of(bound.name, bound.trigger, self._options.route_prefix, bound))
            case "queueTrigger":
                self.listeners[bound.name] = self._queue_listener(bound)
            case "eventHubTrigger":
                self.listeners[bound.name] = self._event_hub_listener(bound)
            case "timerTrigger":
                self.listeners[bound.name] = self._timer(bound)
            case kind:
                raise ValueError(f"this host has no {kind}")

    def _queue_listener(self, bound: BoundFunction) -> QueueListener:
        queue, connection = bound.trigger["queueName"], bound.trigger["connection"]
        poison = None if queue.endswith("-poison") else self._settings.queue(connection, f"{queue}-poison")
        client = self._settings.queue(connection, queue)
        return QueueListener(bound, client, poison, self._options.queues, self._lease, self.invoker)

    def _event_hub_listener(self, bound: BoundFunction) -> EventHubListener:
        if not self._hubs:
            raise MissingSettingError("LOCAL_EVENT_HUBS, the folder of hubs on this machine, is missing")
        return EventHubListener(
            bound,
            Path(self._hubs),
            self._settings.namespace(bound.trigger["connection"]),
            self._settings.container(STORAGE, HUB_CONTAINER),
            self._options.event_batch_size,
            self.invoker,
            self._retry_scale,
        )

    def _timer(self, bound: BoundFunction) -> Timer:
        schedule = Schedule(bound.trigger["schedule"])
        container = self._status_container() if bound.trigger.get("useMonitor", True) else None
        blob = StatusBlob(container, self._id, bound.name) if container else None
        return Timer(bound, schedule, blob, self.invoker)

    def _status_container(self) -> ContainerClient | None:
        try:
            return self._settings.container(STORAGE, CONTAINER)
        except MissingSettingError as error:
            log.warning("timers run without their status: %s", error)
            return None

    def _refuse(self, function: Function) -> None:
        """Make an HTTP function in error answer 503, distinct from a wrong address."""
        for binding in function.bindings:
            if binding["type"] == "httpTrigger":
                with suppress(ValueError):
                    self.routes.append(HttpRoute.of(function.name, binding, self._options.route_prefix, None))

    def _report(self, error: str) -> None:
        self.errors.append(error)
        log.error("%s", error)


def trigger_type(function: Function) -> Any:
    """The binding type of the function's trigger, such as `queueTrigger`."""
    return next(
        (binding["type"] for binding in function.bindings if binding["type"].endswith("Trigger")), None
    )
