"""Output of the command line: results on stdout, all else on stderr, exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
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

from .. import __version__, times
from ..errors import AttendanceError, SignInNeeded, WatchError, WrongUsage
from ..health.findings import STORAGE_REMEDY
from ..health.parallel_reads import describe_failure
from .export.spreadsheets import csv_cell
from .session import OutputFormat, current

FAILED, MISUSED, UNWELL, SIGNED_OUT, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 4, 130, 141
WIDE = 10_000  # columns of a file or pipe, so that nothing is cut
_NOT_ASCII = re.compile(r"[^\n\t -~]")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
POLL_INTERVAL = 1.0  # seconds


@contextmanager
def report_errors() -> Iterator[None]:
    """Report an error as one sentence on stderr, and exit with its code."""
    try:
        yield
        compare_version(current().app_version())
    except SignInNeeded as failure:
        raise _exit(SIGNED_OUT, str(failure)) from None
    except (WrongUsage, WatchError) as failure:
        raise _exit(MISUSED, str(failure)) from None
    except (AttendanceError, ValueError) as failure:
        raise _exit(FAILED, str(failure)) from None
    except ClientAuthenticationError as failure:
        problem = f"Storage does not accept your sign-in ({error_code(failure)})."
        raise _exit(FAILED, f"{problem} Is it an account of the app's tenant, TENANT_ID?") from None
    except AzureError as failure:
        raise _exit(FAILED, _describe(failure)) from None
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(PIPE_CLOSED) from None
    except OSError as failure:
        raise _exit(FAILED, describe_os_error(failure)) from None
    except KeyboardInterrupt:
        raise _exit(
            INTERRUPTED, "Interrupted. Completed work is intact; run the same command again to continue."
        ) from None


def _exit(code: int, sentence: str) -> typer.Exit:
    print_message(f"attendance: {sentence}")
    return typer.Exit(code)


def describe_os_error(failure: OSError) -> str:
    """Return an error of the operating system as a sentence, which names the file."""
    problem = failure.strerror or type(failure).__name__
    return f"{failure.filename}: {problem}." if failure.filename else f"{problem}."


def discard_output() -> None:
    """Discard the rest of stdout.

    Its reader has gone, and Python would report that once more at the end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def compare_version(version: str) -> None:
    """Warn if the app is of another version; "" is unknown."""
    if version not in ("", __version__):
        print_message(
            f"attendance: Warning: this is version {__version__}, but the app has version {version}. "
            "Install the command of the app's version."
        )


def error_code(failure: Exception) -> str:
    """Return storage's error code, or the type of the error."""
    code = getattr(failure, "error_code", None)
    return str(getattr(code, "value", code) or type(failure).__name__)


def _describe(failure: AzureError) -> str:
    if isinstance(failure, HttpResponseError):
        role = (
            " Your account needs a role on it: see docs/command-line.md."
            if failure.status_code == 403
            else ""
        )
        return f"The storage request failed ({error_code(failure)}).{role}"
    return f"Storage does not answer ({describe_failure(failure)}). {STORAGE_REMEDY}"


def print_message(text: str) -> None:
    """Print text on stderr, without control characters."""
    typer.echo("\n".join(map(single_line, text.split("\n"))), err=True)


def single_line(value: object) -> str:
    """Format a value as one line without control characters; "" for None."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def print_json(content: object) -> None:
    """Print JSON on stdout."""
    text = json.dumps(content, ensure_ascii=True, indent=2 if sys.stdout.isatty() else None)
    sys.stdout.write(escape_json(text) + "\n")


def escape_json(text: str) -> str:
    """Escape what a terminal would obey.

    Such as control and bidirectional characters. It stays the same JSON: outside of strings there are none of them.
    """
    return _NOT_ASCII.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0].isprintable():
        return found[0]
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(found[0])[1:-1]


def print_rows(
    rows: Iterable[dict[str, Any]], columns: Sequence[str] | None = None, if_empty: str = ""
) -> None:
    """Print rows in the chosen format; `columns` selects those of a table.

    JSON, CSV and TSV have all columns and exact values. A table has short times; in a terminal that is too narrow for
    it, each row is shown line by line, so that an id is always whole.
    """
    row_list = list(rows)
    match current().format:
        case OutputFormat.JSON:
            print_json(row_list)
        case OutputFormat.CSV | OutputFormat.TSV if row_list:
            _print_separated(row_list, current().format)
        case _ if row_list:
            print_table(row_list, columns)
        case _:
            print_message(if_empty or "No results.")


def _print_separated(rows: Sequence[dict[str, Any]], form: OutputFormat) -> None:
    separator = "," if form is OutputFormat.CSV else "\t"
    writer = csv.writer(sys.stdout, delimiter=separator, lineterminator="\n")
    writer.writerow(map(_separated_cell, rows[0]))
    for row in rows:
        writer.writerow([_separated_cell(row.get(name)) for name in rows[0]])


def _separated_cell(value: object) -> object:
    """A number as it is, also a negative one, and anything else as a text."""
    return value if isinstance(value, int | float) else csv_cell(single_line(value))


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows as a table for people.

    Line by line in a terminal that is too narrow for it.
    """
    keys = columns or list(rows[0])
    names = [single_line(name) for name in keys]
    cells = [[_table_cell(row.get(key)) for key in keys] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(Text(name), no_wrap=True)
    for row in cells:
        table.add_row(*map(Text, row))
    console = stdout()
    if table.__rich_measure__(console, console.options.update(width=WIDE)).maximum <= console.width:
        console.print(table)
        return
    indent = max(map(len, names))
    for row in cells:
        for name, cell in zip(names, row, strict=True):
            console.print(Text(f"{name:{indent}}  {cell}"), soft_wrap=True)
        console.print()


def _table_cell(value: object) -> str:
    text = single_line(value)
    moment = times.possible(text) if _TIME.match(text) else None
    return times.format_utc(moment) if moment else text


class _Stdout(Console):
    """A console that says when its reader has left, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout(width: int = WIDE) -> Console:
    """Return a console for stdout: a terminal's width, else `width` without colours."""
    console = _Stdout(highlight=False)
    return console if console.is_terminal else _Stdout(highlight=False, width=width)


def stderr() -> Console:
    """Return a console for progress on stderr."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr; call the result to advance it."""
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
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


def wait_for[T](read: Callable[[], T | None], title: str, seconds: float) -> T | None:
    """Call `read` once a second and return its first result, or None at the end."""
    deadline = time.monotonic() + seconds
    with stderr().status(title) if sys.stderr.isatty() else _no_status():
        while True:
            if (result := read()) is not None:
                return result
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_INTERVAL)


@contextmanager
def _no_status() -> Iterator[None]:
    yield


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears when it is complete; only its owner may read it.

    A device or a pipe is never replaced, but written to.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "wb", dir=path.parent, prefix=f".{path.name[:50]}.", delete=False
    ) as file:
        draft = Path(file.name)
        try:
            yield file
            file.close()
            draft.replace(path)
        except BaseException:
            file.close()  # Windows deletes no open file
            draft.unlink(missing_ok=True)
            raise


def write_json(body: bytes, file: Path | None) -> None:
    """Write JSON to stdout or atomically to a file, with an end of line.

    See `escape_json`.
    """
    write_output(escape_json(body.decode("utf-8", "backslashreplace")).encode() + b"\n", file)


def write_output(content: bytes, output: Path | None) -> None:
    """Write to stdout, or to a file that is complete or does not exist."""
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    with atomic_file(output) as file:
        file.write(content)
    print_message(f"Wrote {output}.")
