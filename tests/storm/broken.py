"""Faults put into the app, each of which the storm must find: proof that its checker sees what it is for.

Each fault is a few lines of `shared/`, changed in a copy of the repository. A storm of 300 meetings over that copy
must end with a problem of the expected kind. Exits with 1 when a fault was not found. With `--page` the table goes into
the storm's page, which keeps it when a storm is run anew.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.measured import Page, machine

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("function_app.py", "host.json", "pyproject.toml", "local", "schemas", "shared", "tests")
LINKED = (".local", ".venv")
HEADING = "## Faults put into the app"
SECONDS = 3_600
MOST_SHOWN = 2
STORM = ("--kills", "20", "--window", "30", "--json")


@dataclass(frozen=True)
class Change:
    """A text of a module of `shared/` that stands there once, and what it becomes."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Broken:
    """A fault, and a pattern of the problems by which the storm finds it."""

    name: str
    found_by: str
    changes: tuple[Change, ...]


def _fault(name: str, found_by: str, module: str, *texts: str) -> Broken:
    """A fault in one module; `texts` are old and new in turn."""
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return Broken(name, found_by, tuple(Change(module, old, new) for old, new in pairs))


FAULTS = (
    _fault(
        "an outcome is published before the record is swapped, and not after",
        r"Worse than before: cr-|is none, not",
        "archiving/worker.py",
        "        current, committed = journal.ledger.update(record.signal_id, change, commit, stored)\n        if",
        "        journal.follow([new.with_commit(commit, record)])\n"
        "        current, committed = journal.ledger.update(record.signal_id, change, commit, stored)\n        if",
        "if current and (committed or redelivered):",
        "if current and committed is None:",
    ),
    _fault(
        "a message that the queue lost is not sent again",
        r"is pending, not stored",
        "archiving/redrive.py",
        "    return now > outcome.next_attempt + merge.OVERDUE",
        "    return False",
    ),
    _fault(
        "a reading in part replaces a better one",
        r"Worse than before: report",
        "archive/reports.py",
        "return StoreResult.REPLACED if has_more else StoreResult.KEPT",
        "return StoreResult.REPLACED",
    ),
    _fault(
        "a redrive forgets what was stored",
        r"Worse than before: cr-",
        "ledger/merge.py",
        "    return replace(old, attempt=attempt, series=series, next=NextAttempt(attempt, now))",
        "    return replace(old, attempt=attempt, series=series, next=NextAttempt(attempt, now), "
        "result=Result.PENDING, reports=())",
    ),
    _fault(
        "tables are made of another index's parts",
        r"is not in the table|in the tables",
        "tables/day_tables.py",
        "if cut.source not in found]",
        "if not found]",
        "parts = [found[cut.source] for cut in cuts if cut.source in found]",
        "parts = [found.get(cut.source, next(iter(found.values()), {})) for cut in cuts] if found else []",
    ),
    _fault(
        "an erasure leaves the published outcome",
        r"names erased person",
        "cli/erasure/erase.py",
        "        if record:\n            self._outcomes.publish(record, self._ledger)\n        return True",
        "        return record is not None",
    ),
    _fault(
        "a report that moved to another day stays in the first",
        r"Doubled: .*reports/",
        "archive/reports.py",
        "elsewhere = {*_earlier_names(report), *([earlier] if earlier else ())} - {name}",
        "elsewhere: set[str] = set()",
    ),
    _fault(
        "an outcome that moved to another day stays in the first",
        r"Doubled: cr-",
        "ledger/publish.py",
        "        delete_blob(self._container, name, etag=blob.etag)\n        return {}",
        "        return {}",
    ),
    _fault(
        "a report lies in the day of another time zone",
        r"Wrong: reports/",
        "archive/reports.py",
        "end.astimezone(UTC).date(), lower_guid(report_id))",
        "(end - timedelta(hours=8)).astimezone(UTC).date(), lower_guid(report_id))",
    ),
    _fault(
        "a manifest says complete too early",
        r"complete",
        "days/sealing.py",
        "    return times.midnight(day) + timedelta(days=1) + window + MAX_RECORD_DELAY",
        "    return times.midnight(day) + 0 * window",
    ),
    _fault(
        "a change of a sealed day is not marked",
        r"manifests/date=.*(reports|outcomes)",
        "days/sealing.py",
        "        if times.now() < ready_at(day, self._settings) or not self._debounce.allows(day):",
        "        if not self._debounce.allows(day) or times.now() > times.midnight(day):",
    ),
    _fault(
        "a message that nobody knows is dropped",
        r"is not kept",
        "archiving/dead_letters.py",
        "    now, sha256 = times.now(), hashlib.sha256(",
        "    return\n    now, sha256 = times.now(), hashlib.sha256(",
    ),
    _fault(
        "the sweep reads the first page of each day alone",
        r"Missing: ",
        "reconcile/call_records.py",
        "calls, link = page_items(page, operation), next_link(page)",
        "calls, link = page_items(page, operation), None",
    ),
)


@dataclass(frozen=True)
class Proof:
    """What the storm said about a fault."""

    name: str
    is_found: bool
    problems: list[str]


@contextmanager
def copy_with(fault: Broken | None) -> Iterator[Path]:
    """A copy of the repository, with a fault put in."""
    with tempfile.TemporaryDirectory(prefix="broken-") as name:
        folder = Path(name)
        for each in COPIED:
            source, ignored = ROOT / each, shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / each, ignore=ignored)
            else:
                shutil.copy(source, folder / each)
        for each in LINKED:
            (folder / each).symlink_to((ROOT / each).resolve())
        for change in fault.changes if fault else ():
            module = folder / "shared" / change.module
            module.write_text(changed(module.read_text(), change))
        yield folder


def changed(text: str, change: Change) -> str:
    """The text of a module with a fault. Raises ValueError if its place is not there once."""
    if text.count(change.old) != 1:
        raise ValueError(f"{change.module} has {text.count(change.old)} times {change.old!r}")
    return text.replace(change.old, change.new)


def prove(fault: Broken, meetings: int, seed: int) -> Proof:
    """Run a storm over the app with a fault."""
    with copy_with(fault) as folder:
        command = [
            sys.executable,
            "-m",
            "tests.storm.storm",
            "--meetings",
            str(meetings),
            "--seed",
            str(seed),
        ]
        done = subprocess.run(
            [*command, *STORM],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
    told = [line for line in done.stderr.splitlines() if not re.match(r" *\d+ s  ", line)]
    met = [line for line in told if re.search(fault.found_by, line)]
    return Proof(
        fault.name, done.returncode == 1 and bool(met) and done.stdout.startswith("{"), met or told[-9:]
    )


def section(proofs: Sequence[Proof], meetings: int) -> str:
    """The part of the storm's page about these proofs, without its heading."""
    made = Page("", "")
    made.text(
        f"`make proof`: each fault was put into a copy of the app, and a storm of {meetings} meetings over it must "
        f"find it. {machine()}"
    )
    rows = [(each.name, "yes" if each.is_found else "**no**", _shown(each.problems)) for each in proofs]
    made.table(("Fault", "Found", "By"), rows)
    return made.written(None, "").partition("\n\n")[2].strip()


def _shown(problems: Sequence[str]) -> str:
    told = "; ".join(each.rstrip(".")[:140].replace("|", "/") for each in problems[:MOST_SHOWN])
    more = len(problems) - MOST_SHOWN
    return f"{told}; and {more} more" if more > 0 else told


def kept_section(page: Path) -> str:
    """The part about faults of a page that is there, with its heading; "" for none."""
    text = page.read_text() if page.exists() else ""
    _, heading, rest = text.partition(HEADING)
    return f"{heading}{rest.partition(chr(10) + '## ')[0]}".strip() if heading else ""


def write_section(page: Path, text: str) -> None:
    """Put the part about faults at the end of a page, in place of the one there."""
    before = page.read_text().partition(HEADING)[0].rstrip()
    page.write_text(f"{before}\n\n{HEADING}\n\n{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm.broken", description=__doc__)
    parser.add_argument("--meetings", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="storms at the same time")
    parser.add_argument("--only", metavar="TEXT", default="", help="faults whose name contains this")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the storm's page, to write the table into")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in fault.name]
    proofs = []
    with ThreadPoolExecutor(options.jobs) as jobs:
        for proof in jobs.map(partial(prove, meetings=options.meetings, seed=options.seed), chosen):
            proofs.append(proof)
            print(
                json.dumps({"fault": proof.name, "found": proof.is_found, "by": proof.problems}), flush=True
            )
    if options.page:
        write_section(options.page, section(proofs, options.meetings))
    return 0 if all(each.is_found for each in proofs) else 1


if __name__ == "__main__":
    sys.exit(main())
