"""One Deploy: publish a zip to a Flex Consumption app, and wait for the result.

The protocol is that of azd (`funcapp_host_client.go` in Azure/azure-dev). `RemoteBuild=false` keeps the bytes that were
tested; `az functionapp deployment source config-zip` would have Azure build Python anew.

    POST /api/publish?RemoteBuild=false   202 and an id; 403, 409, or 400 with an inner 403: not yet
    GET  /api/deployments/ID              `status`: 0, 1, 2 under way; 4 done; anything else failed
    GET  /api/deployments/ID/log          why
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import web
from .errors import DeploymentError, NotYet
from .waiting import Clock, attempts, say
from .web import Reply

SPREAD_SECONDS = 600.0  # roles and access restrictions take up to ten minutes
RETRY_SECONDS = 15.0
FOLLOW_SECONDS = 1_800.0
POLL_SECONDS = 1.0  # a slower look can miss the end
UPLOAD_SECONDS = 600.0
NOT_FOUND = 4  # so many 404s are normal at the beginning
SILENCES = 10  # so many looks in a row may go without an answer
SUCCESS = 4
UNDER_WAY = {0: "pending", 1: "building", 2: "deploying"}
FAILURES = {-1: "was cancelled", 3: "failed", 5: "met another deployment", 6: "succeeded in part only"}
STORAGE = ("BlobUploadFailedException", "InaccessibleStorageException")
LOG_ENTRIES, LOG_CHARACTERS = 20, 4_000


class ScmSite:
    """The app's deployment site, with a token of Azure Resource Manager."""

    def __init__(self, host: str, token: Callable[[], str]) -> None:
        self.root = web.root(host)
        self._new_token = token
        self._token = ""

    def request(self, method: str, path: str, body: Path | None = None) -> Reply:
        """Send a request, again with a new token if the old one has expired.

        Raises OSError.
        """
        reply = self._request(method, path, body) if self._token else None
        if reply is None or reply.status == 401:
            self._token = self._new_token()
            reply = self._request(method, path, body)
        return reply

    def _request(self, method: str, path: str, body: Path | None) -> Reply:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/zip"
        seconds = UPLOAD_SECONDS if body else 30.0
        return web.request(method, self.root + path, headers=headers, body=body, seconds=seconds)


def publish(site: ScmSite, package: Path, deployer: str, clock: Clock) -> None:
    """Publish `package` and wait for success. Raises DeploymentError."""
    refusal = NotYet("")
    for _ in attempts(clock, every=RETRY_SECONDS, within=SPREAD_SECONDS):
        if str(refusal):
            say(f"  not yet: {refusal}")
        try:
            return _follow(site, _upload(site, package, deployer), clock)
        except NotYet as failure:
            refusal = failure
    raise DeploymentError(
        f"The package was not accepted within {SPREAD_SECONDS / 60:.0f} minutes: {refusal} Check whether you may "
        "publish to the app (Website Contributor), whether its SCM site is closed to this machine (restrictScm), and "
        "whether the app's identity may write to the package's container."
    )


def _upload(site: ScmSite, package: Path, deployer: str) -> str:
    """Return the deployment's id.

    Raises NotYet for what may pass, and DeploymentError.
    """
    try:
        reply = site.request("POST", f"/api/publish?RemoteBuild=false&Deployer={deployer}", package)
    except OSError as failure:
        raise NotYet(f"{site.root} cannot be reached ({_reason(failure)}).") from None
    words = _excerpt(reply)
    match reply.status:
        case 202:
            identifier = _parsed(reply)
            if isinstance(identifier, str) and re.fullmatch(r"[\w.-]{1,100}", identifier):
                return identifier
            raise DeploymentError(f"{site.root} accepted the package but returned no deployment id: {words}")
        case 403:
            raise NotYet(f"HTTP 403, access is restricted or roles are not in effect yet. {words}")
        case 409:
            raise NotYet(f"HTTP 409, another deployment is running. {words}")
        case 400 if _is_spreading(reply.text) or "403" in reply.text:
            raise NotYet(f"the app may not write to the package's container yet. {words}")
        case 429 | 500 | 502 | 503 | 504:
            raise NotYet(f"HTTP {reply.status}. {words}")
        case status:
            raise DeploymentError(f"{site.root} refused the package with HTTP {status}: {words}")


def _follow(site: ScmSite, identifier: str, clock: Clock) -> None:
    """Wait for the end of a deployment.

    Raises NotYet if storage still refuses it, and DeploymentError.
    """
    path = f"/api/deployments/{identifier}"
    seen: int | None = None
    missing = silent = 0
    end = clock.now() + FOLLOW_SECONDS
    while clock.now() < end:
        look = _look(site, path)
        if look.http == 404:
            missing += 1
            if missing > NOT_FOUND:
                return _gone(site, identifier, seen)
        elif look.status is None:
            silent += 1
            if silent > SILENCES or look.is_refusal:
                raise DeploymentError(f"The deployment {identifier} cannot be followed ({look.words}).")
        elif look.status == SUCCESS:
            return say("  done")
        elif look.status not in UNDER_WAY:
            _fail(site, path, identifier, look.status, look.words)
        else:
            silent = 0
            if look.status != seen:
                say(f"  {UNDER_WAY[look.status]}")
            seen = look.status
        clock.sleep(look.delay)
    raise DeploymentError(
        f"The deployment {identifier} did not end within {FOLLOW_SECONDS / 60:.0f} minutes."
    )


@dataclass(frozen=True)
class _Look:
    """One poll: HTTP status (0: no answer), the deployment's status, and the text."""

    http: int
    status: int | None = None
    words: str = ""
    delay: float = POLL_SECONDS

    @property
    def is_refusal(self) -> bool:
        """Whether polling again makes no sense."""
        return 400 <= self.http < 500 and self.http != 429


def _look(site: ScmSite, path: str) -> _Look:
    try:
        reply = site.request("GET", path)
    except OSError as failure:
        return _Look(0, words=_reason(failure))
    if reply.status not in (200, 202):
        return _Look(reply.status, words=f"HTTP {reply.status}", delay=_retry_after(reply))
    content = _parsed(reply)
    status = content.get("status") if isinstance(content, dict) else None
    if not isinstance(status, int):
        return _Look(reply.status, words=f"no status: {_excerpt(reply)}")
    return _Look(reply.status, status, str(content.get("status_text") or ""), _retry_after(reply))


def _gone(site: ScmSite, identifier: str, seen: int | None) -> None:
    """The result of a deployment whose record is gone.

    It is over if it had a record before, because its worker is then replaced.
    """
    if seen is None:
        raise DeploymentError(f"{site.root} does not know the deployment {identifier}.")
    say("  its record is gone, as is normal at the end; the check below shows whether the app answers")


def _fail(site: ScmSite, path: str, identifier: str, status: int, words: str) -> None:
    log = _log(site, f"{path}/log")
    if _is_spreading(f"{words} {log}") and "403" in log + words:
        raise NotYet("the app may not write to the package's container yet.")
    ending = FAILURES.get(status, f"ended with the unknown status {status}")
    raise DeploymentError(f"The deployment {identifier} {ending}. {words}\n{log}".rstrip())


def _log(site: ScmSite, path: str) -> str:
    """The messages of a deployment's log, with their details."""
    lines: list[str] = []
    try:
        for entry in _entries(site.request("GET", path)):
            lines.append(str(entry.get("message") or ""))
            details = urlsplit(str(entry.get("details_url") or ""))
            if details.path and f"{details.scheme}://{details.netloc}" == site.root:
                found = _entries(site.request("GET", details.path))
                lines += [f"  {each.get('message') or ''}" for each in found]
    except OSError as failure:
        lines.append(f"(the rest of the log cannot be read: {_reason(failure)})")
    return "\n".join(lines)[-LOG_CHARACTERS:]


def _entries(reply: Reply) -> list[dict[str, Any]]:
    content = _parsed(reply) if reply.status == 200 else None
    found = content if isinstance(content, list) else []
    return [each for each in found if isinstance(each, dict)][:LOG_ENTRIES]


def _parsed(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None


def _is_spreading(text: str) -> bool:
    return any(name in text for name in STORAGE)


def _retry_after(reply: Reply) -> float:
    value = reply.headers.get("Retry-After", "")
    return min(max(float(value), POLL_SECONDS), 60.0) if value.isdecimal() else POLL_SECONDS


def _excerpt(reply: Reply) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", reply.text).split())[:500]


def _reason(failure: OSError) -> str:
    cause = getattr(failure, "reason", failure)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
