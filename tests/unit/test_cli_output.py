"""Output of the command line: nothing in an archive can act on a terminal or stop a copy."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from shared import times
from shared.cli import main, output
from shared.cli.commands import reports, subscriptions
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
