"""Output of the command line: nothing in an archive can act on a terminal or stop a copy."""

import csv
import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from shared import times
from shared.cli import main, options, output
from shared.cli.commands import reports, subscriptions, watch
from shared.cli.session import OutputFormat
from shared.storage.blobs import Blob
from shared.subscriptions.status import Maintenance

HOSTILE = "\x1b\x07\x7f\x9b\u061c\u200b\u200f\u202e\u2028\u2066\ufeff\U000e0041"
NAME = f"Zoë {HOSTILE} \U0001f600"


def shown(capfdbinary: pytest.CaptureFixture[bytes]) -> str:
    return capfdbinary.readouterr().out.decode()


def test_json_escapes_control_and_bidirectional_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"name": NAME})
    text = capsys.readouterr().out
    assert text.rstrip("\n").isprintable()
    assert json.loads(text) == {"name": NAME}


def test_a_report_is_shown_with_them_escaped(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    body = json.dumps({"name": NAME}, ensure_ascii=False).replace("\\u001b", "\\u001B").encode()
    output.write_json(body, None)
    text = shown(capfdbinary)
    assert text.rstrip("\n").isprintable()
    assert "Zoë" in text
    assert "\U0001f600" in text
    assert json.loads(text) == {"name": NAME}


def test_a_blob_that_is_no_json_does_nothing_to_the_terminal(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    output.write_json(b"\x1b]0;title\x07\xff\r\n", None)
    assert shown(capfdbinary).replace("\n", "").isprintable()


def test_a_message_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_message(f"reports/{NAME}\nsecond line")
    first, second = capsys.readouterr().err.splitlines()
    assert (first.isprintable(), second) == (True, "second line")


ODD = [
    "reports/date=2026-11-23/../../../evil",
    "reports/date=2026-11-23/" + "x" * 300,
    "reports/date=2026-11-23/a/b",
]
GOOD = ["reports/date=2026-11-23/a", "reports/date=2026-11-23/z.json"]


@pytest.mark.parametrize(
    "odd", [*ODD, "reports/date=2026-11-23/\0", "reports/date=2026-11-23/..\\..\\evil"], ids=ascii
)
def test_one_odd_blob_name_does_not_stop_a_download(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = [SimpleNamespace(name=name, size=1, content_settings=None) for name in [GOOD[0], odd, GOOD[1]]]
    container = SimpleNamespace(list_blobs=lambda name_starts_with: iter(blobs))
    session = SimpleNamespace(container=container, as_json=False)
    monkeypatch.setattr(reports, "current", lambda: session)
    monkeypatch.setattr(reports, "get_blob", lambda *_: Blob(b"x", "etag", {}))
    folder = tmp_path / "copy"
    with pytest.raises(SystemExit) as done:
        main.main(["reports", "download", str(folder), "--from", "2026-11-23", "--to", "2026-11-23"])
    assert done.value.code == 1
    assert sorted(files(tmp_path)) == [f"copy/{name}" for name in GOOD]
    err = capsys.readouterr().err
    assert "2 fetched" in err
    assert "1 of the blobs were not copied" in err


@pytest.mark.parametrize("below", ["", "copy"])
def test_a_file_in_the_place_of_the_folder_is_said_once(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = [SimpleNamespace(name=name, size=1, content_settings=None) for name in GOOD]
    container = SimpleNamespace(list_blobs=lambda name_starts_with: iter(blobs))
    monkeypatch.setattr(reports, "current", lambda: SimpleNamespace(container=container, as_json=False))
    monkeypatch.setattr(reports, "get_blob", lambda *_: Blob(b"x", "etag", {}))
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SystemExit) as done:
        main.main(["reports", "download", str(file / below), "--from", "2026-11-23", "--to", "2026-11-23"])
    (line,) = capsys.readouterr().err.splitlines()
    assert (done.value.code, line.startswith(f"attendance: {file}"), file.read_text()) == (1, True, "mine")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        output.write_output(b"x", pipe)
        assert os.read(reader, 10) == b"x"
    finally:
        os.close(reader)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]
    assert pipe.is_fifo()


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as failure:
        output.write_output(b"x", tmp_path)
    assert (failure.value.filename, list(tmp_path.iterdir())) == (str(tmp_path), [])


def test_a_file_may_have_as_long_a_name_as_any(tmp_path: Path) -> None:
    file = tmp_path / ("王" * 83 + ".html")
    output.write_output(b"x", file)
    assert file.read_bytes() == b"x"


def test_no_json_is_written_into_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "x.html"  # a browser would run what a name in it says
    with pytest.raises(SystemExit) as done:
        main.main(["reports", "show", "x", "--json", "--output", str(page)])
    assert (done.value.code, page.exists()) == (2, False)
    assert "--json" in capsys.readouterr().err


class Full(io.RawIOBase):
    """A file on a disk that is full, until somebody was told."""

    is_told = False

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if not self.is_told:
            self.is_told = True
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)  # type: ignore[arg-type]


def ended(monkeypatch: pytest.MonkeyPatch, stream: io.TextIOWrapper, command: Callable[[], None]) -> object:
    """The exit code of a command that writes to this stream."""

    def app(*_: object, **__: object) -> None:
        command()
        raise SystemExit(0)

    monkeypatch.setattr(main, "app", app)
    monkeypatch.setattr(main, "discard_output", lambda: None)
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as done:
        main.main([])
    return done.value.code


def test_a_disk_that_is_full_at_the_end_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BufferedWriter(Full()))
    assert ended(monkeypatch, stream, lambda: output.print_json([])) == 1
    assert capsys.readouterr().err == "attendance: No space left on device.\n"


def test_a_name_that_the_encoding_of_stdout_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(output, "current", lambda: SimpleNamespace(format=OutputFormat.TABLE))
    stream = io.TextIOWrapper(raw, "cp1252")
    assert ended(monkeypatch, stream, lambda: output.print_rows([{"a": "Zoë 王"}])) == 0
    assert b"Zo\xeb \\u738b" in raw.getvalue()


def test_a_reader_of_a_table_that_leaves_is_a_reader_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        output.print_table([{"a": 1}])


def test_a_text_like_a_time_that_is_none_stays_a_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "current", lambda: SimpleNamespace(format=OutputFormat.TABLE))
    output.print_rows([{"subject": "2026-13-45T00:00:00Z"}])
    assert "2026-13-45T00:00:00Z" in capsys.readouterr().out


def test_a_range_before_the_calendar_begins_at_its_first_day() -> None:
    first = datetime(1, 1, 5, tzinfo=UTC)
    assert [str(each) for each in options.days_between(None, first)][::4] == ["0001-01-01", "0001-01-05"]


@pytest.mark.parametrize("until", ["", "0001-01-01"])
def test_a_meeting_is_not_watched_for_ever_by_mistake(
    until: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "_watchlist", lambda: pytest.fail("watched"))
    with pytest.raises(SystemExit) as done:
        main.main(["watch", "add", f"https://t.example/{ID}", "--organizer", ID, "--until", until])
    assert done.value.code == 2
    assert "is not a time of the form" in capsys.readouterr().err


def files(folder: Path) -> Iterator[str]:
    yield from (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


ID = "8b081ef6-4792-4def-b2c9-c363a1bf41d5"
ROW = {
    "start": "2026-11-30T09:31:42.218Z",
    "id": ID,
    "organizerId": ID[::-1],
    "subject": "=1+1, all\thands\x1b",
}


def printed(form: OutputFormat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(output, "current", lambda: SimpleNamespace(format=form))
    output.print_rows([ROW, ROW | {"subject": None}], ("start", "id", "organizerId"))
    return capsys.readouterr().out


@pytest.mark.parametrize(("form", "separator"), [(OutputFormat.CSV, ","), (OutputFormat.TSV, "\t")])
def test_separated_values_are_all_columns_and_no_formula(
    form: OutputFormat, separator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(form, monkeypatch, capsys).splitlines()
    rows = list(csv.reader(lines, delimiter=separator))
    assert rows[0] == list(ROW)
    assert rows[1][:3] == [ROW["start"], ROW["id"], ROW["organizerId"]]
    assert rows[1][3].startswith("'=1+1, all")
    assert "".join(lines).replace("\t", "").isprintable()
    assert rows[2][3] == ""


@pytest.mark.parametrize(("form", "separator"), [(OutputFormat.CSV, ","), (OutputFormat.TSV, "\t")])
def test_separated_numbers_are_exact_and_no_header_is_a_formula(
    form: OutputFormat, separator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "current", lambda: SimpleNamespace(format=form))
    output.print_rows([{"change": -5, "=1+1": -0.25, "\x1b[1m": True, "text": "-5"}])
    header, row = csv.reader(capsys.readouterr().out.splitlines(), delimiter=separator)
    assert header == ["change", "'=1+1", "\N{REPLACEMENT CHARACTER}[1m", "text"]
    assert row == ["-5", "-0.25", "True", "'-5"]


@pytest.mark.parametrize("width", [10, 200])
def test_the_name_of_a_column_is_a_text_too(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "stdout", lambda: Console(width=width, force_terminal=True, no_color=True))
    monkeypatch.setattr(output, "current", lambda: SimpleNamespace(format=OutputFormat.TABLE))
    output.print_rows([{"[/red]\x1b]0;title\x07": "x", "second": "y"}])
    shown = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert "[/red]\N{REPLACEMENT CHARACTER}]0;title" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("width", [80, 200])
def test_an_id_is_whole_whatever_the_width_of_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "stdout", lambda: Console(width=width, force_terminal=True, no_color=True))
    shown = printed(OutputFormat.TABLE, monkeypatch, capsys)
    assert (
        shown.count(ROW["id"]) == shown.count(ROW["organizerId"]) == shown.count("2026-11-30 09:31 UTC") == 2
    )
    assert max(map(len, shown.splitlines())) <= width
    assert ("start        2026" in shown) == (width == 80)  # row by row where it is narrow


def test_a_list_of_subscriptions_that_the_app_could_not_read_is_not_shown_as_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Maintenance(times.now(), ("list subscriptions: Graph asks to come back (status 503)",))
    monkeypatch.setattr(subscriptions, "_last_run", lambda: run)
    done = CliRunner().invoke(main.app, ["subscriptions", "list"], env={"NO_COLOR": "1"})
    assert (done.exit_code, done.stdout) == (output.FAILED, "")
    assert "could not read Graph's list of subscriptions. list subscriptions: " in done.stderr
