"""Microsoft Graph over HTTP: tokens, time limits, retries, throttling and bodies of bounded size.

Rules from https://learn.microsoft.com/graph/best-practices-concept and .../throttling: honour Retry-After, back
off exponentially with full jitter where there is none, follow @odata.nextLink as it is given. A link is followed
only on Graph's own origin, because the token travels with the request. Short waits happen here, inside a budget;
a long one is the caller's to plan (`Throttled`).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .. import __version__
from ..errors import (
    AccessDenied,
    Conflict,
    GraphError,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
    ValidationFailed,
)
from ..limits import MAX_RATE_WAIT, RateLimiter
from ..settings import THREADS
from . import verbatim_json

MAX_TRIES = 4  # of one request
MANY_FAILURES = 5  # requests given up in a row: Graph is down, and each gets one try until it answers
MAX_INLINE_WAIT = 10.0  # seconds; a longer Retry-After becomes a delayed signal
FIRST_BACKOFF = 0.5  # seconds, doubled with each try, drawn from 0 to it
MAX_BACKOFF = 8.0
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0  # between two packets
CREATE_READ_TIMEOUT = 75.0  # Graph makes two handshakes of up to 10 s, with retries, before it answers
BODY_DEADLINE = 120.0  # for a whole body
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_PAGES = 5_000
CHUNK = 64 * 1024
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
DOWN = RETRIED - {429}

VALIDATION = "validation"  # begins the hint of a failed handshake
_VALIDATION = re.compile(r"Subscription validation request (failed|timed out)\b", re.IGNORECASE)
_VALIDATION_STATUS = re.compile(r"HTTP status code is '([A-Za-z0-9]{1,40})'")

type TokenSource = Callable[[bool], str]


def segment(value: str) -> str:
    """`value` percent-encoded once, as one segment of a path or one value in a query."""
    return quote(value, safe="", errors="surrogatepass")


BETA = "beta/"  # begins the paths of what v1.0 does not have


class Graph:
    """A client for one Graph root. `token(renew)` gives a bearer token; `renew` asks for a fresh one."""

    def __init__(
        self,
        root: str,
        token: TokenSource,
        rate: RateLimiter,
        *,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._root = root
        self._origin = _origin(root)
        self._token = token
        self._rate = rate
        self._sleep = sleep
        self._draw = draw
        self._local = threading.local()
        self._skew = timedelta()
        self._failures = 0  # in a row, of all threads
        self._session = _Session()
        self._session.headers["User-Agent"] = f"teams-attendance-reports/{__version__}"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=THREADS))

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Begin no request of this thread after `seconds`: Unavailable is raised instead."""
        self._local.deadline = time.monotonic() + seconds
        self._local.request_id = None
        try:
            yield
        finally:
            self._local.deadline = math.inf

    def now(self) -> datetime:
        """The time by Graph's clock, as its last answer told it; ours before the first one."""
        return datetime.now(UTC) + self._skew

    @property
    def request_id(self) -> str | None:
        """The `request-id` of the last answer that this thread got: what Microsoft's support asks for."""
        return getattr(self._local, "request_id", None)

    def get(self, path: str, operation: str) -> dict[str, Any]:
        """The JSON object at `path` (below /v1.0, already encoded), at a path of BETA, or at a link of Graph's own.

        Raises a GraphError; `operation` names the call in it.
        """
        return self._call("GET", path, operation)

    def list_pages(self, path: str, operation: str) -> Iterator[list[Any]]:
        """The `value` lists of a collection, page by page."""
        first = self.get(path, operation)
        for page in itertools.chain([first], self.follow_links(next_link(first), operation)):
            yield page_items(page, operation)

    def follow_links(self, link: object, operation: str) -> Iterator[dict[str, Any]]:
        """The pages behind a next link, each with its `@odata.nextLink`, or the one of an expanded property.

        Raises Unavailable for a link that is not Graph's, repeats, or comes after MAX_PAGES.
        """
        seen: set[str] = set()
        while link is not None:
            if not isinstance(link, str) or "://" not in link or link in seen or len(seen) >= MAX_PAGES:
                raise Unavailable(
                    operation, "the next link is no address, repeats or comes after too many pages"
                )
            seen.add(link)
            page = self.get(link, operation)
            yield page
            link = next_link(page)

    def post(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create something. Not tried again unless Graph said that it did not look at it (429)."""
        return self._call("POST", path, operation, body)

    def patch(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change something."""
        return self._call("PATCH", path, operation, body)

    def delete(self, path: str, operation: str) -> None:
        """Delete something; NotFound when it is gone already."""
        self._call("DELETE", path, operation)

    def _call(
        self, method: str, path: str, operation: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        url = self._url(path, operation)
        refused = renew = False
        tries = MAX_TRIES if self._failures < MANY_FAILURES else 1
        for attempt in range(1, MAX_TRIES + 1):
            if time.monotonic() > getattr(self._local, "deadline", math.inf):
                raise Unavailable(operation, "the time of this attempt is used up")
            try:
                return self._once(method, url, operation, body, renew=renew)
            except _Unauthorized as failure:
                if refused or attempt == MAX_TRIES:
                    raise Unavailable(operation, "the token was refused", **failure.details) from None
                refused = renew = True  # it may have expired on the way; a new one is asked for once
            except _Again as failure:
                renew = False
                wait = self._wait(failure.retry_after, attempt)
                retryable = method != "POST" or failure.details.get("status") == 429
                if not retryable or attempt >= tries or wait > MAX_INLINE_WAIT:
                    self._failures += 1
                    _give_up(operation, failure)
                self._sleep(wait)
        raise AssertionError("unreachable")  # pragma: no cover

    def _wait(self, retry_after: float | None, attempt: int) -> float:
        if retry_after is not None:
            return retry_after
        return self._draw(0, min(FIRST_BACKOFF * 2 ** (attempt - 1), MAX_BACKOFF))

    def _once(
        self, method: str, url: str, operation: str, body: dict[str, Any] | None, *, renew: bool
    ) -> dict[str, Any]:
        wait = self._rate.reserve()
        if wait > MAX_RATE_WAIT:
            throttled = Throttled(operation, "this instance's own request budget is used up")
            throttled.retry_after = wait
            raise throttled
        if wait:
            self._sleep(wait)
        headers = {
            "Authorization": f"Bearer {self._token(renew)}",
            "Accept": "application/json",
            "client-request-id": str(uuid.uuid4()),
        }
        read_timeout = CREATE_READ_TIMEOUT if method == "POST" else READ_TIMEOUT
        self._local.request_id = None
        try:
            with self._session.request(
                method,
                url,
                json=body,
                headers=headers,
                timeout=(CONNECT_TIMEOUT, read_timeout),
                stream=True,
                allow_redirects=False,
            ) as response:
                self._local.request_id = response.headers.get("request-id")
                self._skew = _skew(response)
                content = _content(response)
        except (requests.RequestException, ValueError) as failure:  # ValueError: a header that cannot be read
            raise _Again(f"no whole answer ({type(failure).__name__})") from None
        except _BodyTooLong:
            raise Unavailable(operation, "the answer is too large or takes too long") from None
        if response.status_code not in DOWN:
            self._failures = 0
        return _parsed(response, content, operation)

    def _url(self, path: str, operation: str) -> str:
        if path.startswith(BETA):
            return f"{self._root}/{path}"
        if "://" not in path:
            return f"{self._root}/v1.0/{path}"
        if _origin(path) != self._origin:
            raise Unavailable(operation, "the next link points away from Microsoft Graph")
        return path


def page_items(page: dict[str, Any], operation: str) -> list[Any]:
    """The `value` list of a page. Raises Unavailable."""
    value = page.get("value")
    if not isinstance(value, list):
        raise Unavailable(operation, "the answer holds no list named value", status=200)
    return value


def next_link(page: dict[str, Any]) -> object:
    """The link to the page after `page`: of the collection, or of an expanded attendanceRecords."""
    link = page.get("attendanceRecords@odata.nextLink")
    return page.get("@odata.nextLink") if link is None else link


class _Session(requests.Session):
    """Never looks at where a redirect points: Graph's API does not redirect, and a token must not go along."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _BodyTooLong(Exception):
    """A body over MAX_BODY_BYTES or past BODY_DEADLINE."""


class _Again(Exception):
    """The try failed in a way that may pass."""

    def __init__(self, problem: str, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after = retry_after
        self.details = details


class _Unauthorized(Exception):
    def __init__(self, details: dict[str, Any]) -> None:
        super().__init__("401")
        self.details = details


def _give_up(operation: str, failure: _Again) -> NoReturn:
    if failure.details.get("status") == 429 or failure.retry_after is not None:
        throttled = Throttled(operation, failure.problem, **failure.details)
        throttled.retry_after = failure.retry_after or 0.0
        raise throttled from None
    raise Unavailable(operation, failure.problem, **failure.details) from None


def _content(response: requests.Response) -> bytes:
    deadline = time.monotonic() + BODY_DEADLINE
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(CHUNK):
        size += len(chunk)
        if size > MAX_BODY_BYTES or time.monotonic() > deadline:
            raise _BodyTooLong
        chunks.append(chunk)
    return b"".join(chunks)


def _parsed(response: requests.Response, content: bytes, operation: str) -> dict[str, Any]:
    status = response.status_code
    request_id = response.headers.get("request-id", "")
    if 200 <= status < 300:
        if not content and response.request.method != "GET":
            return {}
        try:
            answer = verbatim_json.loads(content)
        except ValueError:
            raise _Again("the answer is not JSON", status=status, request_id=request_id) from None
        if not isinstance(answer, dict):
            raise _Again("the answer is not a JSON object", status=status, request_id=request_id)
        return answer
    details: dict[str, Any] = {"status": status, "request_id": request_id, **_code_and_hint(content)}
    if status == 401:
        raise _Unauthorized(details)
    if status in RETRIED:
        raise _Again("Graph asks to come back", _retry_after(response), **details)
    raise _error_class(status, details.get("hint", ""))(operation, "refused by Graph", **details)


def _error_class(status: int, hint: str) -> type[GraphError]:
    classes: dict[int, type[GraphError]] = {403: AccessDenied, 404: NotFound, 409: Conflict}
    if hint.startswith(VALIDATION):
        return ValidationFailed
    return classes.get(status, Refused if 400 <= status < 500 else Unavailable)


def _code_and_hint(content: bytes) -> dict[str, str]:
    """Graph's error code and a hint from its message; the message itself may name people."""
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        error = verbatim_json.loads(content)["error"]
        code, message = str(error.get("code", "")), str(error.get("message", ""))
        return {"code": code if code.isalnum() and len(code) <= 64 else "", "hint": _hint(message)}
    return {}


def _hint(message: str) -> str:
    """The number before a message, or how Graph's validation handshake ended ("validation failed: Forbidden")."""
    if validation := _VALIDATION.match(message):
        status = _VALIDATION_STATUS.search(message)
        return f"{VALIDATION} {validation[1]}" + (f": {status[1]}" if status else "")
    number = message.split(":")[0].strip()
    return number if number.isdigit() and len(number) <= 8 else ""


def _skew(response: requests.Response) -> timedelta:
    """How far Graph's clock is ahead of ours; a second or less is the header's own coarseness."""
    with contextlib.suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(response.headers.get("Date", "")).replace(tzinfo=UTC)
        skew = moment - datetime.now(UTC)
        return skew if abs(skew) > timedelta(seconds=2) else timedelta()
    return timedelta()


def _retry_after(response: requests.Response) -> float | None:
    """Seconds to wait as Retry-After says, in seconds or as an HTTP date; None where it says nothing."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    with contextlib.suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return None


def _origin(url: str) -> tuple[str | None, str | None, int | None] | None:
    """Scheme, host and port as the HTTP library itself will read them, or None for no such address."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if parts.auth is not None or parts.host is None:
        return None
    return parts.scheme, parts.host, parts.port or {"https": 443, "http": 80}.get(parts.scheme or "")
