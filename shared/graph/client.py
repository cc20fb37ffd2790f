"""HTTP client for Microsoft Graph: time limits, retries, throttling, paging.

Rules from https://learn.microsoft.com/graph/best-practices-concept and .../throttling: honour Retry-After, back
off exponentially with full jitter if there is none, follow @odata.nextLink as it is given. A link is followed only on
Graph's own origin, because the request carries the token. Short waits happen here, within a budget; the caller plans
long ones (`Throttled`). The status alone decides about an error answer; its body only adds a code.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import math
import random
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeGuard
from urllib.parse import quote

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .. import __version__, logs
from ..bounded_http import SILENCE, Answer, BoundedSession, NoAnswer, TooLarge, Unbounded
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
MAX_FAILURES_IN_A_ROW = 5  # requests given up in a row: Graph is down, and each gets one try until it answers
MAX_INLINE_WAIT = 10.0  # seconds; a longer Retry-After becomes a delayed signal
MAX_CLOSED = 24 * 3600.0  # seconds that a throttled resource is left alone
MOST_CLOSED = 1_000  # resources of which that is kept
FIRST_BACKOFF = 0.5  # seconds, doubled with each try, drawn from 0 to it
MAX_BACKOFF = 8.0
CREATE_SILENCE = 75.0  # Graph makes two handshakes of up to 10 s, with retries, before it answers
ANSWER_SECONDS = 120.0  # for a whole answer
MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_PAGE_VALUES = 250_000  # as text three bytes can be one, and in memory each takes up to a hundred
SMALL_PAGES = "odata.maxpagesize=20"  # preferred where a page was too large
MAX_PAGES = 5_000
MAX_EMPTY_PAGES = 20  # in a row
SKEW_ANSWERS = 2  # in a row that must agree on Graph's clock
SKEW_AGREES = timedelta(seconds=5)
MAX_SKEW = timedelta(hours=1)  # no clock that is further off is believed
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
DOWN = RETRIED - {429}

VALIDATION = "validation"  # prefix of the hint about a failed handshake
_VALIDATION = re.compile(r"Subscription validation request (failed|timed out)\b", re.IGNORECASE)
_VALIDATION_STATUS = re.compile(r"HTTP status code is '([A-Za-z0-9]{1,40})'")
_RECORDS_LINK = "attendanceRecords@odata.nextLink"
_NEXT_LINK = re.compile(r"odata\.nextLink\Z", re.IGNORECASE)
_CLAIMS = re.compile(r'\bclaims="([A-Za-z0-9+/_-]{1,8192})=*"', re.ASCII)
_SECONDS = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:[,;]|\Z)")

type TokenSource = Callable[[bool, str | None], str]


def segment(value: str) -> str:
    """Percent-encode a value once, as one segment of a path or one value in a query.

    Raises ValueError for what no encoding keeps from changing the path.
    """
    if not is_segment(value):
        raise ValueError(f"{value!r} cannot be an id in an address")
    return quote(value, safe="", errors="surrogatepass")


def is_segment(value: object) -> TypeGuard[str]:
    """Tell whether a value can be a segment of a path.

    HTTP libraries remove `.` and `..`, also if they are encoded.
    """
    return isinstance(value, str) and value not in ("", ".", "..")


BETA = "beta/"  # begins the paths of what v1.0 does not have


class Graph:
    """A client for one Graph root.

    `token(renew, claims)` gives a bearer token; `renew` asks for a fresh one, `claims` for one with these claims.
    """

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
        self._skew = Skew()
        self._closed: dict[str, float] = {}  # resources, and when Graph allows the next request (monotonic)
        self._failures = 0  # in a row, of all threads
        self._session = BoundedSession(THREADS)
        self._session.headers["User-Agent"] = f"teams-attendance-reports/{__version__}"

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Start no request of this thread after `seconds`; raise Unavailable instead."""
        self._local.deadline = time.monotonic() + seconds
        self._local.request_id = None
        try:
            yield
        finally:
            self._local.deadline = math.inf

    def now(self) -> datetime:
        """Return the time by Graph's clock if its answers agree, or else by ours."""
        return datetime.now(UTC) + self._skew.value

    @property
    def request_id(self) -> str | None:
        """The `request-id` of this thread's last answer, for Microsoft support."""
        return getattr(self._local, "request_id", None)

    def get(self, path: str, operation: str) -> dict[str, Any]:
        """Return the JSON object at a path or link.

        A path is below /v1.0 or starts with BETA, and is already encoded; a link must be Graph's own. Raises a
        GraphError, which names the call by `operation`.
        """
        return self._call("GET", path, operation)

    def list_pages(self, path: str, operation: str) -> Iterator[list[Any]]:
        """Yield the `value` list of each page of a collection."""
        first = self.get(path, operation)
        for page in itertools.chain([first], self.follow_links(next_link(first), operation)):
            yield page_items(page, operation)

    def follow_links(self, link: object, operation: str) -> Iterator[dict[str, Any]]:
        """Yield the pages behind an `@odata.nextLink`.

        Raises Unavailable for a link that is not Graph's, and for pages that repeat or have no end.
        """
        trail = Trail()
        while link is not None:
            page = self.get(checked_link(link, operation), operation)
            trail = trail.after(page, link, operation, MAX_PAGES)
            yield page
            link = next_link(page)

    def post(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a resource. Retried only after 429, when Graph has not processed it."""
        return self._call("POST", path, operation, body)

    def patch(self, path: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Update a resource."""
        return self._call("PATCH", path, operation, body)

    def delete(self, path: str, operation: str) -> None:
        """Delete a resource. Raises NotFound if it does not exist."""
        self._call("DELETE", path, operation)

    def _call(
        self, method: str, path: str, operation: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        url = self._url(path, operation)
        resource = url.partition("?")[0]
        self._wait_until_open(resource, operation)
        refused = renew = prefers_small = False
        claims: str | None = None
        tries = MAX_TRIES if self._failures < MAX_FAILURES_IN_A_ROW else 1
        for attempt in range(1, MAX_TRIES + 1):
            if time.monotonic() > getattr(self._local, "deadline", math.inf):
                raise Unavailable(operation, "the time limit of this attempt has passed")
            try:
                token = self._token(renew, claims)
                return self._once(method, url, operation, body, token, prefers_small=prefers_small)
            except _Unauthorized as failure:
                if refused or attempt == MAX_TRIES:
                    raise Unavailable(operation, "the token was refused", **failure.details) from None
                refused = renew = True  # it may have expired on the way; a new one is asked for once
                claims = failure.claims
            except TooLarge as failure:
                if prefers_small or method != "GET" or attempt == MAX_TRIES:
                    raise Unavailable(operation, str(failure)) from None
                prefers_small = True
            except _Retryable as failure:
                renew = False
                wait = self._wait(failure.retry_after, attempt)
                self._close(resource, failure)
                retryable = method != "POST" or failure.is_throttled
                if not retryable or attempt >= tries or wait > MAX_INLINE_WAIT:
                    self._failures += 1
                    _give_up(operation, failure)
                self._sleep(wait)
                self._closed.pop(resource, None)
        raise AssertionError("unreachable")  # pragma: no cover

    def _close(self, resource: str, failure: _Retryable) -> None:
        """Block a throttled resource for all threads.

        Graph counts requests that come too early, and throttles for longer.
        """
        if not failure.is_throttled or not failure.retry_after:
            return
        if len(self._closed) >= MOST_CLOSED:
            self._closed = {}  # a few requests too early are no harm
        self._closed[resource] = time.monotonic() + min(failure.retry_after, MAX_CLOSED)

    def _wait_until_open(self, resource: str, operation: str) -> None:
        """Wait for a throttled resource. Raises Throttled if that takes long."""
        left = self._closed.get(resource, 0.0) - time.monotonic()
        if left > MAX_INLINE_WAIT:
            throttled = Throttled(operation, "Graph asked to come back later", status=429)
            throttled.retry_after = left
            raise throttled
        if left > 0:
            self._sleep(left)

    def _wait(self, retry_after: float | None, attempt: int) -> float:
        if retry_after is not None:
            return retry_after
        return self._draw(0, min(FIRST_BACKOFF * 2 ** (attempt - 1), MAX_BACKOFF))

    def _once(
        self,
        method: str,
        url: str,
        operation: str,
        body: dict[str, Any] | None,
        token: str,
        *,
        prefers_small: bool,
    ) -> dict[str, Any]:
        wait = self._rate.reserve()
        if wait > MAX_RATE_WAIT:
            throttled = Throttled(operation, "this instance's request budget is used up")
            throttled.retry_after = wait
            raise throttled
        if wait:
            self._sleep(wait)
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "client-request-id": str(uuid.uuid4()),
        }
        if prefers_small:
            headers["Prefer"] = SMALL_PAGES
        self._local.request_id = None
        try:
            answer = self._session.ask(
                method,
                url,
                seconds=ANSWER_SECONDS,
                most=MAX_PAGE_BYTES,
                silence=CREATE_SILENCE if method == "POST" else SILENCE,
                json=body,
                headers=headers,
            )
        except NoAnswer as failure:
            raise _Retryable(str(failure)) from None
        except TooLarge:
            raise
        except Unbounded as failure:
            raise Unavailable(operation, str(failure)) from None
        self._local.request_id = answer.headers.get("request-id")
        self._skew.note(answer.headers.get("Date"), datetime.now(UTC))
        if answer.status not in DOWN:
            self._failures = 0
        return _parsed(answer, operation, method)

    def _url(self, path: str, operation: str) -> str:
        if path.startswith(BETA):
            return f"{self._root}/{path}"
        if "://" not in path:
            return f"{self._root}/v1.0/{path}"
        if _origin(path) != self._origin:
            raise Unavailable(operation, "the next link is not Microsoft Graph's")
        return path


def page_items(page: dict[str, Any], operation: str) -> list[Any]:
    """Return the `value` list of a page. Raises Unavailable."""
    value = page.get("value")
    if not isinstance(value, list):
        raise Unavailable(operation, "the answer has no list named value", status=200)
    return value


def entries[T](graph: Graph, path: str, operation: str, parse: Callable[[Any], T | None]) -> Iterator[T]:
    """Yield the parsed entries of a collection.

    An entry that parses as None is skipped and logged.
    """
    for page in graph.list_pages(path, operation):
        for item in page:
            if (entry := parse(item)) is not None:
                yield entry
            else:
                logs.warning("record.unreadable", operation=operation, requestId=graph.request_id)


def next_link(page: dict[str, Any]) -> object:
    """Return the next link of a collection or of expanded attendanceRecords.

    Raises Unavailable if the page has a next link of another property: it is not the last page.
    """
    links = {name: link for name, link in page.items() if link is not None and _NEXT_LINK.search(name)}
    if not links.keys() <= {"@odata.nextLink", _RECORDS_LINK} or len(set(map(str, links.values()))) > 1:
        raise Unavailable("follow pages", "a page names a next link that is not its own", status=200)
    return next(iter(links.values()), None)


def checked_link(link: object, operation: str) -> str:
    """Check that a next link is an absolute address. Raises Unavailable."""
    if not isinstance(link, str) or "://" not in link:
        raise Unavailable(operation, "the next link is no address", status=200)
    return link


@dataclass(frozen=True)
class Trail:
    """Cycle detection over the pages of a list, in constant memory.

    `mark` is the fingerprint of the page whose number is the last power of two; each later page is compared with it
    (Brent's algorithm). A fingerprint is made of the entries, because a cycle can have new links.
    """

    pages: int = 0
    empty: int = 0  # in a row
    mark: str = ""

    def after(self, page: dict[str, Any], link: object, operation: str, most: int) -> Trail:
        """Return the trail after this page. Raises Unavailable for a cycle."""
        entries = next((page[name] for name in ("value", "attendanceRecords") if name in page), None)
        empty = 0 if entries else self.empty + 1
        fingerprint = _fingerprint(entries or link)
        if fingerprint == self.mark:
            raise Unavailable(operation, "the pages repeat", status=200)
        if self.pages >= most or empty > MAX_EMPTY_PAGES:
            raise Unavailable(operation, "there are too many pages", status=200)
        pages = self.pages + 1
        return Trail(pages, empty, fingerprint if pages.bit_count() == 1 else self.mark)


def _fingerprint(entries: object) -> str:
    """Hash the ids of a page's entries in any order; without an id, the entry."""
    each = entries if isinstance(entries, list) else [entries]
    ids = (entry.get("id") or entry if isinstance(entry, dict) else entry for entry in each)
    texts = sorted(repr(entry) for entry in ids)
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]


class Skew:
    """Offset of Graph's clock from ours.

    It is zero unless the last answers agree on a plausible one.
    """

    def __init__(self) -> None:
        self.value = timedelta()
        self._last: deque[timedelta] = deque(maxlen=SKEW_ANSWERS)

    def note(self, date: str | None, now: datetime) -> None:
        """Record the Date header of an answer that arrived at `now`."""
        moment = _date(date)
        if moment is None:
            return
        self._last.append(moment - now)
        last = tuple(self._last)  # another thread may note meanwhile
        if len(last) == SKEW_ANSWERS and max(last) - min(last) <= SKEW_AGREES:
            skew = last[-1]
            # Two seconds or less are the header's own coarseness.
            self.value = skew if timedelta(seconds=2) < abs(skew) <= MAX_SKEW else timedelta()


class _Retryable(Exception):
    """A failure that a retry may resolve."""

    def __init__(self, problem: str, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after = retry_after
        self.details = details
        self.is_throttled = details.get("status") == 429


class _Unauthorized(Exception):
    """A refused token; `claims` are those that the next one must have."""

    def __init__(self, details: dict[str, Any], claims: str | None) -> None:
        super().__init__("401")
        self.details = details
        self.claims = claims


def _give_up(operation: str, failure: _Retryable) -> NoReturn:
    if failure.is_throttled or failure.retry_after is not None:
        throttled = Throttled(operation, failure.problem, **failure.details)
        throttled.retry_after = failure.retry_after or 0.0
        raise throttled from None
    raise Unavailable(operation, failure.problem, **failure.details) from None


def _parsed(answer: Answer, operation: str, method: str) -> dict[str, Any]:
    status, content = answer.status, answer.content
    request_id = answer.headers.get("request-id", "")
    if 200 <= status < 300:
        if not content and method != "GET":
            return {}
        if sum(map(content.count, (b",", b"[", b"{"))) > MAX_PAGE_VALUES:
            raise TooLarge("the answer holds too many values")
        try:
            parsed = verbatim_json.loads(content)
        except ValueError:
            raise _Retryable("the answer is not JSON", status=status, request_id=request_id) from None
        if not isinstance(parsed, dict):
            raise _Retryable("the answer is not a JSON object", status=status, request_id=request_id)
        return parsed
    details: dict[str, Any] = {"status": status, "request_id": request_id, **_code_and_hint(content)}
    if status == 401:
        raise _Unauthorized(details, _claims(answer.headers.get("WWW-Authenticate", "")))
    if status in RETRIED:
        raise _Retryable("Graph asks to come back", _retry_after(answer), **details)
    raise _error_class(status, details.get("hint", ""))(operation, "refused by Graph", **details)


def _error_class(status: int, hint: str) -> type[GraphError]:
    classes: dict[int, type[GraphError]] = {403: AccessDenied, 404: NotFound, 409: Conflict}
    if hint.startswith(VALIDATION):
        return ValidationFailed
    return classes.get(status, Refused if 400 <= status < 500 else Unavailable)


def _code_and_hint(content: bytes) -> dict[str, str]:
    """Return Graph's error code and a hint.

    The hint is made from the message, which itself may name people.
    """
    try:
        parsed = verbatim_json.loads(content)
    except ValueError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return {}
    code, message = str(error.get("code", "")), str(error.get("message", ""))
    return {"code": code if code.isalnum() and len(code) <= 64 else "", "hint": _hint(message)}


def _hint(message: str) -> str:
    """Return the number before a message, or how Graph's validation handshake failed.

    An example of the second is "validation failed: Forbidden".
    """
    if validation := _VALIDATION.match(message):
        status = _VALIDATION_STATUS.search(message)
        return f"{VALIDATION} {validation[1]}" + (f": {status[1]}" if status else "")
    number = message.split(":")[0].strip()
    return number if number.isdigit() and len(number) <= 8 else ""


def _claims(challenge: str) -> str | None:
    """Return the claims that a WWW-Authenticate header demands, as JSON text.

    Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    found = _CLAIMS.search(challenge)
    with contextlib.suppress(ValueError):
        return base64.urlsafe_b64decode(found[1] + "==").decode() if found else None
    return None


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds that Retry-After asks to wait, or None.

    It can have numbers, of which the first counts, rounded up, or an HTTP date, by the clock of the answer's own Date.
    """
    value = answer.headers.get("Retry-After", "")
    if number := _SECONDS.match(value):
        return float(math.ceil(float(number[1])))
    until = _date(value)
    if until is None:
        return None
    now = _date(answer.headers.get("Date")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(value: str | None) -> datetime | None:
    """Parse an HTTP date, or return None."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _origin(url: str) -> tuple[str | None, str | None, int | None] | None:
    """Return scheme, host and port as the HTTP library reads them, or None if invalid."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if parts.auth is not None or parts.host is None:
        return None
    return parts.scheme, parts.host, parts.port or {"https": 443, "http": 80}.get(parts.scheme or "")
