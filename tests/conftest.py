"""Fixtures of all tests: one Azurite, identity endpoint and stack per worker."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import local.stack.azurite
import local.stack.identity
from local.stack.azurite import ACCOUNTS, Azurite
from local.stack.compose import Stack
from local.stack.identity import Identity
from local.stack.program import Log
from tests.support.front import Accounts, Front, hurried

WAITING = {"host", "stack", "storm"}  # folders whose tests start programs and wait for them
LONGEST = {
    "test_recovery.py",
    "test_storm.py",
    "test_odd_answers.py",
    "test_sweeping.py",
}  # of those, in minutes
STACK_ACCOUNTS = [(f"data{number}", f"host{number}") for number in range(100)]  # of the stacks of a run

# No deadline: a busy machine is no fault of the code.
hypothesis.settings.register_profile("default", max_examples=60, deadline=None)
hypothesis.settings.load_profile("default")

# The programs that the tests start inherit both: all would compile what they load, and none could be interrupted
# where the tests were started in a shell's background.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Three workers per core, because most tests wait; at most eight, for memory."""
    return min(8, 3 * (os.process_cpu_count() or 1))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a test that is heavy without a reason."""
    if any(mark.args == () for mark in item.iter_markers("heavy")):
        raise pytest.UsageError(f"{item.nodeid}: say why: @pytest.mark.heavy(reason)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that those whose tests wait stand between those that keep a core busy.

    A worker takes the next file when it has finished one: in the order of their names all would wait at once.
    Those that take longest begin.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [group for path, group in files.items() if WAITING.intersection(path.parts)]
    waiting.sort(key=lambda group: group[0].path.name not in LONGEST)
    busy = [group for path, group in files.items() if not WAITING.intersection(path.parts)]
    spread = sorted(
        [(number / len(group), file) for group in (waiting, busy) for number, file in enumerate(group)],
        key=lambda each: each[0],
    )
    items[:] = [item for _, file in spread for item in file]


def pytest_collection_finish() -> None:
    """Leave what was loaded to collect the tests out of all collections of garbage to come, and make those rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """The log of the stack's parts: a file, because threads outlive a capture."""
    file = tmp_path_factory.mktemp("log") / "stack.log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield Log(descriptor)
    os.close(descriptor)


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password for every host in this user's netrc, which `requests` reads."""
    file = tmp_path / "netrc"
    file.write_text("default login someone password else\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@pytest.fixture(scope="session")
def identity() -> Iterator[Identity]:
    """An identity endpoint."""
    with local.stack.identity.serve() as identity:
        yield identity


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Iterator[Azurite]:
    """A shared storage account; each writing test has its own container or queue."""
    folder, more = tmp_path_factory.mktemp("azurite"), [each for pair in STACK_ACCOUNTS for each in pair]
    with local.stack.azurite.start(
        folder, log=log, usual_roots=False, accounts=(*ACCOUNTS, *more)
    ) as azurite:
        yield azurite


@pytest.fixture(scope="session")
def accounts(azurite: Azurite) -> Accounts:
    """The shared Azurite, each time with two other accounts: starting one for each stack takes longer."""
    return (azurite.of(data, host) for data, host in STACK_ACCOUNTS)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, log: Log, accounts: Accounts) -> Iterator[Stack]:
    """The whole system, in a hurry."""
    with hurried(tmp_path_factory.mktemp("stack"), log, {}, next(accounts)) as stack:
        yield stack


@pytest.fixture
def front(stack: Stack) -> Front:
    """The whole system, or the one that a module has of its own."""
    front = Front(stack)
    front.control.clear_faults()
    return front
