"""The state folder of a stack, with which the next stack continues.

Storage, the simulator's memory, ports (subscriptions name them) and the client state (subscriptions carry
it). One stack at a time: there is a lock that every program of the stack holds as well, so that the next one
waits until the last of a killed stack has let go of files and ports.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

SECONDS_TO_LET_GO = 15.0


class StateInUseError(RuntimeError):
    """Another stack runs on the same folder."""


class StackState:
    """The folder, locked."""

    def __init__(self, folder: Path, lock: int) -> None:
        """See `hold`."""
        self.folder = folder
        self.lock = lock

    @property
    def announcement(self) -> Path:
        """The file with the line of stdout."""
        return self.folder / "stack.json"

    @property
    def settings(self) -> Path:
        """The file of app settings for the command line."""
        return self.folder / "settings.json"

    def ports(self) -> dict[str, int]:
        """The ports of the last run, by part; empty at first."""
        file = self.folder / "ports.json"
        remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        return remembered

    def remember_ports(self, ports: Mapping[str, int]) -> None:
        """Keep the ports for the next run."""
        write(self.folder / "ports.json", json.dumps(ports))

    def client_state(self) -> str:
        """The random secret that Graph repeats in each notification."""
        return self._secret("client-state")

    def erasure_key(self) -> str:
        """The random secret behind the hashes of erased persons."""
        return self._secret("erasure-key")

    def _secret(self, name: str) -> str:
        file = self.folder / name
        if not file.exists():
            write(file, secrets.token_urlsafe(32))
        return file.read_text()


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    draft = file.with_name(f".{file.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(file)


@contextmanager
def hold(folder: Path) -> Iterator[StackState]:
    """The folder, created if needed and locked for the length of the block.

    Raises StateInUseError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(lock, folder)
        yield StackState(folder.resolve(), lock)
    finally:
        os.close(lock)


def _acquire(lock: int, folder: Path) -> None:
    deadline = monotonic() + SECONDS_TO_LET_GO
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                raise StateInUseError(f"another stack runs on {folder}") from None
            sleep(0.1)
        else:
            return
