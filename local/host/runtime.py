"""The app's functions, indexed and run by Microsoft's `azure_functions_runtime`.

The only module that touches that untyped package. Functions run on an event loop of their own, in a thread of
its own, so that an `async` function that blocks cannot stop the host from renewing leases or answering; `def`
functions run in the runtime's thread pool (PYTHON_THREADPOOL_THREAD_COUNT), as in Azure.
"""

import asyncio
import json
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure_functions_runtime import (
    handle_event,
    invocation_id_cv,
    native_invocation,
    start_threadpool_executor,
)
from azure_functions_runtime.bindings import meta
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.version import VERSION

__all__ = [
    "VERSION",
    "Failure",
    "Function",
    "HttpReply",
    "HttpRequest",
    "IndexingError",
    "Outcome",
    "Retries",
    "Runtime",
    "TriggerInput",
]


class IndexingError(Exception):
    """The app has no functions: its module or a signature is faulty."""


class Failure(Exception):
    """A function raised, or what it returned did not fit; the text is the exception's."""


@dataclass(frozen=True)
class Retries:
    """Retry policy of a function.

    At most so many retries after the first run, with growing pauses in seconds.
    """

    most: int
    shortest: float = 0.0
    longest: float = 0.0

    def delay(self, attempt: int) -> float:
        """The pause after run `attempt`, which is 0 at first."""
        return min(self.shortest * 2.0 ** min(attempt, 30), self.longest)


@dataclass(frozen=True)
class Function:
    """A function as the app declares it, with unresolved bindings of function.json."""

    name: str
    id: str
    bindings: tuple[dict[str, Any], ...]
    retries: Retries | None = None


@dataclass(frozen=True)
class HttpRequest:
    """An HTTP trigger's input; values of repeated names are joined by commas."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpReply:
    """What an HTTP function returned."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """The result of a function: its HTTP reply, if any, and its outputs in order."""

    reply: HttpReply | None = None
    outputs: dict[str, list[str]] = field(default_factory=dict)


type TriggerInput = str | tuple[str, ...] | HttpRequest


class Runtime:
    """The indexed app, one per process: the package keeps its state in globals."""

    def __init__(self) -> None:
        self._running: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()

    @property
    def current(self) -> str | None:
        """The name of the function on whose behalf the calling code runs."""
        return self._running.get(invocation_id_cv.get() or "")

    def index(self, app: Path) -> list[Function]:
        """The functions of `app`/function_app.py.

        Raises IndexingError with the traceback as its text.
        """
        # Azure starts its worker with the app's folder on the path, and before it the packages that the app brings.
        sys.path[:0] = [str(app / ".python_packages/lib/site-packages"), str(app)]
        handle_event.protos = _Messages
        meta.load_binding_registry()
        try:
            handle_event.load_function_metadata(str(app), caller_info="local")
        except Exception as error:
            raise IndexingError("".join(traceback.format_exception(error))) from error
        indexed = handle_event._metadata_result
        if not indexed:
            raise IndexingError("function_app.py is missing or declares no functions")
        start_threadpool_executor()
        threading.Thread(target=self._loop.run_forever, name="functions", daemon=True).start()
        return [
            Function(
                item.name,
                item.function_id,
                tuple(json.loads(binding) for binding in item.raw_bindings),
                _retries(item.retry_options),
            )
            for item in indexed
        ]

    async def invoke(
        self,
        function: Function,
        invocation_id: str,
        parameter: str,
        value: TriggerInput,
        metadata: Mapping[str, Any],
        trace: tuple[str, str],
        attempt: int = 0,
    ) -> Outcome:
        """Run one function.

        `value` and `metadata` feed its trigger, `trace` is (traceparent, tracestate), `attempt` the number of retries.

        A str goes to a queue trigger as text and to a timer trigger as JSON, a tuple of them to an event hub trigger.
        Raises Failure.
        """
        kind = next(binding["type"] for binding in function.bindings if binding["name"] == parameter)
        details = {name: Datum(json.dumps(item), "json") for name, item in metadata.items()}
        call = self._call(
            function, invocation_id, [(parameter, _datum(value, kind))], details, trace, attempt
        )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))

    async def _call(
        self,
        function: Function,
        invocation_id: str,
        inputs: list[tuple[str, Any]],
        metadata: dict[str, Any],
        trace: tuple[str, str],
        attempt: int,
    ) -> Outcome:
        most = function.retries.most if function.retries else 0
        invocation_id_cv.set(invocation_id)
        self._running[invocation_id] = function.name
        try:
            ok, returned, outputs, error, _ = await native_invocation.invocation_request_native(
                invocation_id, function.id, inputs, metadata, *trace, attempt, most
            )
        finally:
            del self._running[invocation_id]
        if not ok:
            raise Failure(error)
        sent = {name: _items(datum) for name, datum in outputs}
        if returned is None:
            return Outcome(outputs=sent)
        if any(binding["name"] == "$return" and binding["type"] == "http" for binding in function.bindings):
            return Outcome(_reply(returned), sent)
        return Outcome(outputs=sent | {"$return": _items(returned)})


_TEXT_KINDS = {"timerTrigger": "json"}


class _Messages:
    """Stand-ins for protobuf classes, which indexing fills."""

    class BindingInfo(SimpleNamespace):
        undefined, out, inout = 0, 1, 2

    class RpcFunctionMetadata(SimpleNamespace):
        pass

    class RpcRetryOptions(SimpleNamespace):
        pass


def _retries(options: Any) -> Retries | None:
    """The retry policy that was indexed, with either strategy."""
    if options is None:
        return None
    if options.retry_strategy == "fixed_delay":
        pause = options.delay_interval.total_seconds()
        return Retries(options.max_retry_count, pause, pause)
    shortest, longest = options.minimum_interval, options.maximum_interval
    return Retries(options.max_retry_count, shortest.total_seconds(), longest.total_seconds())


def _datum(value: TriggerInput, kind: str) -> Any:
    if isinstance(value, HttpRequest):
        return _http(value)
    if isinstance(value, tuple):
        return Datum(SimpleNamespace(string=list(value)), "collection_string")
    return Datum(value, _TEXT_KINDS.get(kind, "string"))


def _http(request: HttpRequest) -> Any:
    def texts(values: Mapping[str, str]) -> dict[str, Any]:
        return {name: Datum(value, "string") for name, value in values.items()}

    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(request.url, "string"),
            "headers": texts(request.headers),
            "query": texts(request.query),
            "params": texts(request.route),
            "body": Datum(request.body, "bytes"),
        },
        "http",
    )


def _reply(returned: Any) -> HttpReply:
    if returned.type == "string":
        return HttpReply(200, [("content-type", "text/plain; charset=utf-8")], returned.value.encode())
    parts = returned.value
    headers = [(name, datum.value) for name, datum in parts["headers"].items()]
    cookies: list[SimpleCookie] = parts["cookies"] or []
    headers += [("set-cookie", morsel.OutputString()) for cookie in cookies for morsel in cookie.values()]
    return HttpReply(int(parts["status_code"].value), headers, parts["body"].value)


def _items(datum: Any) -> list[str]:
    """An output's messages: the elements of a JSON array, or the one value."""
    if datum.type == "bytes":
        return [datum.value.decode()]
    if datum.type != "json":
        return [datum.value]
    value = json.loads(datum.value)
    elements = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in elements]
