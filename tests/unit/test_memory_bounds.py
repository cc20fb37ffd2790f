"""The memory of a real process whose 16 messages, as many as one instance handles at once, each meet the worst page."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.graph.client import MAX_PAGE_BYTES, MAX_PAGE_VALUES
from tests.support.raw_http import serving, whole

ROOT = Path(__file__).parents[2]
MESSAGES = 16  # batchSize and newBatchThreshold of host.json
PER_MESSAGE = 80  # MiB
# ru_maxrss of getrusage is inherited by a child from the process that starts it, VmHWM is not.
CHILD = """
import sys, threading
from shared.graph.client import Graph
from shared.limits import RateLimiter

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

before, pages, errors = peak(), [], set()
graph = Graph(sys.argv[1], lambda *_: "t", RateLimiter(1_000), sleep=lambda _: None)
together = threading.Barrier(int(sys.argv[2]))

def read():
    together.wait()
    try:
        pages.append(graph.get("page", "get page"))  # and kept, as while it is worked on
    except Exception as failure:
        errors.add(str(failure))

threads = [threading.Thread(target=read) for _ in range(together.parties)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(peak() - before, len(pages), *errors, sep="|")
"""


def filled(piece: str) -> bytes:
    """The largest page that is taken whose list holds nothing but this."""
    data = piece.encode()
    marks = sum(map(data.count, (b",", b"[", b"{")))
    number = min((MAX_PAGE_BYTES - 100) // len(data), (MAX_PAGE_VALUES - 100) // marks)
    return b'{"value":[' + data * number + b"0]}"


def added(body: bytes, encoding: str, messages: int = MESSAGES) -> tuple[int, int, str]:
    """MiB that so many messages add when each is answered with this body, how many pages were taken, and the error."""
    environ = {**os.environ, "NO_PROXY": "*", "PYTHONPATH": str(ROOT)}
    with serving(whole(body, Content_Encoding=encoding)) as server:
        run = subprocess.run(
            [sys.executable, "-c", CHILD, server.root, str(messages)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    grown, taken, *errors = run.stdout.strip().split("|")
    return int(grown), int(taken), " ".join(errors)


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak is told by Linux alone"
)


@pytest.mark.parametrize(
    "piece", ["-0,", '{"a":"\U0001f600 is four bytes a letter, for all of the page"},', '"%s",' % ("x" * 12)]
)
def test_the_largest_page_of_any_kind_takes_a_bounded_memory_for_each_message(
    piece: str, record_property: Callable[[str, object], None]
) -> None:
    grown, taken, _ = added(gzip.compress(filled(piece), 1), "gzip")
    record_property("MiB", grown)
    assert taken == MESSAGES
    assert grown < PER_MESSAGE * MESSAGES


def test_a_thousand_bytes_that_unpack_to_a_hundred_megabytes_take_nothing() -> None:
    bomb = gzip.compress(gzip.compress(b" " * 100_000_000))
    assert len(bomb) < 1_000
    grown, _, error = added(bomb, "gzip, gzip", 1)
    assert "not asked for" in error
    assert grown < 10


def test_58_kb_that_were_parsed_into_gigabytes_are_refused_at_the_limit() -> None:
    bomb = gzip.compress(json.dumps({"value": [[]] * 1_000}).replace("[]", "[]," * 20_000 + "0").encode())
    assert len(bomb) < 200_000
    grown, _, error = added(bomb, "gzip", 1)
    assert "too large" in error
    assert grown < 20
