"""What the command line says: results on stdout, everything else on stderr, and an exit code."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import typer
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..errors import AttendanceError
from .session import current

FAILED, UNWELL, INTERRUPTED = 1, 3, 130
WIDE = 10_000  # columns, where nobody looks and nothing is to be cut
BETWEEN_LOOKS = 1.0  # seconds


@contextmanager
def told() -> Iterator[None]:
    """Whatever goes wrong is one sentence on stderr."""
    try:
        yield
    except (AttendanceError, ValueError) as failure:
        say(f"attendance: {failure}")
        raise typer.Exit(FAILED) from None
    except ClientAuthenticationError:
        say("attendance: Signing in failed. Sign in with `az login`, or see --sign-in.")
        raise typer.Exit(FAILED) from None
    except AzureError as failure:
        say(f"attendance: Storage did not do it ({code(failure)}).{_cure(failure)}")
        raise typer.Exit(FAILED) from None
    except OSError as failure:
        say(f"attendance: {failure.filename or 'It'}: {failure.strerror or type(failure).__name__}.")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        say("attendance: Interrupted; what was done is whole, and the same command goes on with the rest.")
        raise typer.Exit(INTERRUPTED) from None


def code(failure: Exception) -> str:
    """The error code that storage gave, or the kind of error."""
    given = getattr(failure, "error_code", None)
    return str(getattr(given, "value", given) or type(failure).__name__)


def _cure(failure: AzureError) -> str:
    if isinstance(failure, HttpResponseError) and failure.status_code == 403:
        return " Your account needs a role on it: see docs/command-line.md."
    return ""


def say(text: str) -> None:
    """A line on stderr."""
    typer.echo(text, err=True)


def clean(value: object) -> str:
    """A value as one line that does nothing to a terminal; "" for None."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def show(content: object) -> None:
    """JSON on stdout."""
    sys.stdout.write(json.dumps(content, ensure_ascii=True, indent=2 if sys.stdout.isatty() else None) + "\n")


def rows(found: Iterable[dict[str, Any]], columns: Sequence[str] | None = None, nothing: str = "") -> None:
    """Rows as a table, or with --json as a list of objects; `columns` picks some of them for the table."""
    listed = list(found)
    if current().as_json:
        show(listed)
        return
    if not listed:
        say(nothing or "There is nothing.")
        return
    names = columns or list(listed[0])
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in listed:
        table.add_row(*(Text(clean(row.get(name))) for name in names))
    stdout().print(table)


def stdout(width: int = WIDE) -> Console:
    """For people, as wide as their terminal; for a file or a pipe as wide as told, and without colours."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=width)


def stderr() -> Console:
    """For what goes on."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while something long goes on; call it with how much more is done."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def awaited[T](look: Callable[[], T | None], what: str, seconds: float) -> T | None:
    """The first thing that `look` sees, looking once a second; None when it was not there in time."""
    deadline = time.monotonic() + seconds
    with stderr().status(what) if sys.stderr.isatty() else _quietly():
        while True:
            if (seen := look()) is not None:
                return seen
            if time.monotonic() > deadline:
                return None
            time.sleep(BETWEEN_LOOKS)


@contextmanager
def _quietly() -> Iterator[None]:
    yield


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all of it is written, and else leaves nothing; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        draft = Path(file.name)
        try:
            yield file
            file.close()
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def write(content: bytes, output: Path | None) -> None:
    """On stdout, or into a file that is whole or not there."""
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    with whole(output) as file:
        file.write(content)
    say(f"Written to {output}.")
