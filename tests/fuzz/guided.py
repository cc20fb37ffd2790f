"""The same targets under libFuzzer; half of its mutations use the grammar.

atheris (https://github.com/google/atheris) runs on Linux and x86-64. It ends its process: each run is one of its own.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "tests" / "events"
LARGEST = 8_192
SECONDS = 1_800
_DONE = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_MOST_TOLD = 2_000


@dataclass(frozen=True)
class Guided:
    """A run: bodies, covered edges, bodies worth keeping, and failures."""

    bodies: int
    edges: int
    kept: int
    problems: list[str]


def is_there() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def run(bodies: int, seed: int) -> Guided:
    """Feed so many bodies, in a process of its own."""
    with tempfile.TemporaryDirectory() as corpus:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.guided"),
                *(f"-runs={bodies}", f"-seed={seed}", f"-max_len={LARGEST}", f"-artifact_prefix={corpus}/"),
                corpus,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=SECONDS,
        )
    told = _DONE.search(done.stderr)
    if done.returncode or not told:
        return Guided(0, 0, 0, [f"atheris ended with {done.returncode}: {done.stderr[-_MOST_TOLD:]}"])
    return Guided(int(told[1]), int(told[2]), int(told[4]), [])


def _fuzz(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process, with 0 when all bodies were handled."""
    import logging

    import atheris

    with atheris.instrument_imports(include=["shared"]):
        from tests.fuzz import targets
        from tests.fuzz.mutations import mutated
    logging.disable(logging.CRITICAL)
    every = targets.all_targets(EVENTS)

    def feed(data: bytes) -> None:
        """The first byte chooses the target."""
        if data:
            every[data[0] % len(every)].feed(data[1:], Random(0))

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        source = Random(seed)
        if data and source.random() < 0.5:
            return bytes(atheris.Mutate(data, largest))
        number = source.randrange(len(every))
        return (bytes([number]) + mutated(source, every[number].seeds, every[number].known))[:largest]

    atheris.Setup(arguments, feed, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(sys.argv)
