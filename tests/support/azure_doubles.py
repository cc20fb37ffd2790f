"""Doubles for deployments: a recording `az`, a server as SCM site and app."""

from __future__ import annotations

import ast
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, override
from urllib.parse import parse_qs, urlsplit

from deployment.waiting import Clock

TOKEN = "token-that-nobody-may-see"
KEY = "key-that-nobody-may-see"
SECRET = "secret-that-nobody-may-see"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"

# Hundreds of calls: it loads no module that the interpreter has not, so what it keeps is written as Python's literals.
_AZ = """#!{python} -IS
import sys
here = {here!r}
arguments = sys.argv[1:]
state = eval(open(here + "/state").read())

def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments else ""

def save():
    with open(here + "/state", "w") as stream:
        stream.write(repr(state))

call = {{"arguments": arguments}}
if option("--file") and arguments[0] == "keyvault":
    import posix
    call["content"] = open(option("--file")).read()
    call["mode"] = posix.stat(option("--file")).st_mode & 0o777
with open(here + "/calls", "a") as stream:
    stream.write(repr(call) + "\\n")

if arguments[:2] == ["keyvault", "secret"] and "vault" in state:
    import json
    vault, name = state["vault"], option("--name")
    if arguments[2] == "set":
        tags = dict([option("--tags").split("=")]) if option("--tags") else {{}}
        number = len(open(here + "/calls").read().splitlines())
        vault[name] = {{"id": f"https://vault/secrets/{{name}}/v{{number}}", "value": call["content"], "tags": tags}}
        save()
    print(json.dumps(vault[name]))
    sys.exit()

def is_called(word):
    return any(word == each or ("/" in word and word in each) for each in arguments)

for words, answers in state["answers"]:
    if all(map(is_called, words.split(" "))):
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        save()
        if "error" in answer:
            print(answer["error"], file=sys.stderr)
            sys.exit(1)
        if answer["reply"]:
            print(answer["reply"])
        sys.exit()
print(f"no answer for: {{arguments}}", file=sys.stderr)
sys.exit(2)
"""


class RecordingAz:
    """An `az` that gives prepared answers in order, and records its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers: dict[str, list[dict[str, Any]]] = {}
        self._vault: dict[str, Any] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "az"
        program.write_text(_AZ.format(python=sys.executable, here=str(folder)))
        program.chmod(0o755)
        self._save()

    def answer(self, words: str, *replies: Any) -> None:
        """Answer a command that has all `words`; the last reply is repeated.

        An exception's text is an error.
        """
        self._answers[words] = [
            {"error": str(each)}
            if isinstance(each, Exception)
            else {"reply": "" if each is None else json.dumps(each)}
            for each in replies
        ]
        self._save()

    def vault(self, **secrets: dict[str, Any]) -> None:
        """Hold secrets, by name with underscores."""
        self._vault = {name.replace("_", "-"): each for name, each in secrets.items()}
        self._save()

    @property
    def secrets(self) -> dict[str, Any]:
        """The secrets as they are now."""
        found: dict[str, Any] = ast.literal_eval((self.folder / "state").read_text())["vault"]
        return found

    @property
    def records(self) -> list[dict[str, Any]]:
        """All calls."""
        file = self.folder / "calls"
        return [ast.literal_eval(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def calls(self) -> list[str]:
        """All calls, as lines."""
        return [" ".join(each["arguments"]) for each in self.records]

    def _save(self) -> None:
        state: dict[str, Any] = {"answers": list(self._answers.items())}
        if self._vault is not None:
            state["vault"] = self._vault
        (self.folder / "state").write_text(repr(state))


class SteppedClock(Clock):
    """A clock that goes on only when somebody waits."""

    def __init__(self) -> None:
        self.time = 0.0

    @override
    def now(self) -> float:
        return self.time

    @override
    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class Azure:
    """SCM site and app on one loopback port.

    Replies are (status, JSON or text, headers), the last repeated.
    """

    host: str = ""
    tokens: list[str] = field(default_factory=lambda: [TOKEN])
    publishes: list[tuple[Any, ...]] = field(default_factory=lambda: [(202, "d-1")])
    looks: list[tuple[Any, ...]] = field(default_factory=lambda: [(200, {"status": 4})])
    log: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=lambda: [200])
    health: dict[str, Any] = field(default_factory=lambda: {"healthy": True, "problems": [], "warnings": []})
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(urlsplit(each[1]).path == path for each in self.requests)

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[Any, ...]:
        """The reply to a request."""
        address = urlsplit(path)
        if address.path.startswith(("/api/publish", "/api/deployments")):
            if headers.get("Authorization") != f"Bearer {_next(self.tokens)}":
                return 401, "who are you"
            if method == "POST":
                return _next(self.publishes)
            if address.path.endswith("/log"):
                return 200, self.log
            if address.path.endswith("/log/1"):
                return 200, self.details
            return _next(self.looks)
        if address.path == "/api/health":
            return (200, self.health) if headers.get("X-Functions-Key") == KEY else (401, "no key")
        status = _next(self.handshakes)
        return status, parse_qs(address.query).get("validationToken", [""])[0] if status == 200 else "no"


def _next[T](replies: list[T]) -> T:
    return replies.pop(0) if len(replies) > 1 else replies[0]


@contextmanager
def served(azure: Azure) -> Iterator[Azure]:
    """Serve it on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.title(): value for name, value in self.headers.items()}
            azure.requests.append((self.command, self.path, headers, body))
            status, content, *more = azure.answer(self.command, self.path, headers)
            is_text = isinstance(content, str) and status != 202
            text = content.encode() if is_text else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    azure.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield azure
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def outputs(azure: Azure, case: Sequence[str] = ()) -> dict[str, Any]:
    """What `az deployment sub show` prints, with the names in `case` written so."""
    values = {
        "AZURE_RESOURCE_GROUP": "rg-attendance",
        "AZURE_FUNCTION_APP_NAME": "func-attendance-abc123",
        "NOTIFICATION_BASE_URL": f"http://{azure.host}/api",
        "IDENTITY_CLIENT_ID": "22222222-2222-2222-2222-222222222222",
        "IDENTITY_PRINCIPAL_ID": "33333333-3333-3333-3333-333333333333",
        "STORAGE_ACCOUNT": "stdata",
        "HOST_STORAGE_ACCOUNT": "sthost",
        "KEY_VAULT_NAME": "kv-attendance",
    }
    written = {name.upper(): name for name in case}
    return {
        "properties": {
            "outputs": {
                written.get(name, name): {"type": "String", "value": value} for name, value in values.items()
            }
        }
    }
