"""Output of the command line: results on stdout, all else on stderr, exit codes."""

from __future__ import annotations

import json
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

from .. import __version__
from ..errors import AttendanceError
from .session import current

FAILED, UNWELL, INTERRUPTED = 1, 3, 130
WIDE = 10_000  # columns of a file or pipe, so that nothing is cut
_NOT_ASCII = re.compile(r"[^\n\t -~]")
POLL_INTERVAL = 1.0  # seconds


@contextmanager
def report_errors() -> Iterator[None]:
    """Report an error as one sentence on stderr, and exit with its code."""
    try:
        yield
        _compare_versions()
    except (AttendanceError, ValueError) as failure:
        print_message(f"attendance: {failure}")
        raise typer.Exit(FAILED) from None
    except ClientAuthenticationError:
        print_message("attendance: Sign-in failed. Sign in with `az login`, or see --sign-in.")
        raise typer.Exit(FAILED) from None
    except AzureError as failure:
        print_message(f"attendance: The storage request failed ({error_code(failure)}).{_remedy(failure)}")
        raise typer.Exit(FAILED) from None
    except OSError as failure:
        print_message(
            f"attendance: {failure.filename or 'It'}: {failure.strerror or type(failure).__name__}."
        )
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print_message(
            "attendance: Interrupted. Completed work is intact; run the same command again to continue."
        )
        raise typer.Exit(INTERRUPTED) from None


def _compare_versions() -> None:
    """Warn if the app is of another version; only in a command that read the app's state."""
    version = current().app_version()
    if version not in ("", __version__):
        print_message(
            f"attendance: Warning: this is version {__version__}, but the app has version {version}. "
            "Install the command of the app's version."
        )


def error_code(failure: Exception) -> str:
    """Return storage's error code, or the type of the error."""
    code = getattr(failure, "error_code", None)
    return str(getattr(code, "value", code) or type(failure).__name__)


def _remedy(failure: AzureError) -> str:
    if isinstance(failure, HttpResponseError) and failure.status_code == 403:
        return " Your account needs a role on it: see docs/command-line.md."
    return ""


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
    """Escape what a terminal would obey and not show, such as control and bidirectional characters.

    It stays the same JSON: outside of strings there are none of them.
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
    """Print rows as a table, or with --json as a list of objects.

    `columns` selects columns of the table.
    """
    row_list = list(rows)
    if current().as_json:
        print_json(row_list)
        return
    if not row_list:
        print_message(if_empty or "No results.")
        return
    names = columns or list(row_list[0])
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in row_list:
        table.add_row(*(Text(single_line(row.get(name))) for name in names))
    stdout().print(table)


def stdout(width: int = WIDE) -> Console:
    """Return a console for stdout: a terminal's width, else `width` without colours."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=width)


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
    """Open a file that appears when it is complete; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "wb", dir=path.parent, prefix=f".{path.name[:100]}.", delete=False
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
    """Write JSON to stdout or atomically to a file, with an end of line; see `escape_json`."""
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
