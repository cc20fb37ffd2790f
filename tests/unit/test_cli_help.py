"""Help of the command line: true, whole at 80 columns, and with an example for each command."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from shared.cli import main

NARROW = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ROOT = typer.main.get_command(main.app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = list(commands(ROOT))


def help_of(*path: str) -> str:
    done = CliRunner().invoke(main.app, [*path, "--help"], env=NARROW)
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_has_an_example_that_is_right(path: tuple[str, ...]) -> None:
    shown = help_of(*path)
    example = main.EXAMPLES[" ".join(path)]
    assert f"\n  Example:\n    {example}\n" in shown
    program, *arguments = shlex.split(example)
    assert program == "attendance"
    command: Any = ROOT
    rest = main.move_options_first(arguments)
    context = None
    while isinstance(command, TyperGroup):
        context = command.make_context("x", rest, parent=context)
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found
        command = found
    command.make_context("x", rest, parent=context)  # raises for an option or a value that it does not have


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_has_no_python_types_and_cuts_no_word(path: tuple[str, ...]) -> None:
    shown = help_of(*path)
    for sign in ("<str>", "<path>", "<int", "<bool>", "list[", "datetime", "…OnlineMeeting"):
        assert sign not in shown
    assert "..." not in shown.replace("...]", "").replace("...}", "").replace("WHO...", "").replace(
        "[ARGS]...", ""
    )


def test_long_names_are_whole_at_80_columns() -> None:
    assert "OnlineMeetingArtifact.Read.All" in help_of()


def test_defaults_are_named_as_they_are() -> None:
    assert "Default: 30 days before --to." in help_of("redrive")
    assert "Default: 30 days before --to." in help_of("reports", "show")
    assert "Default: a week before --to." in help_of("reports", "list")


def test_a_shell_completes_commands(capsys: pytest.CaptureFixture[str]) -> None:
    words = {
        "_ATTENDANCE_COMPLETE": "complete_bash",
        "COMP_WORDS": "attendance re",
        "COMP_CWORD": "1",
    }
    done = CliRunner().invoke(main.app, [], env=words, prog_name="attendance")
    assert done.stdout.split() == ["redrive", "reports"]


@pytest.mark.parametrize("text", ["1.2.2026", "2026-13-01", "today"])
def test_a_day_of_another_form_is_refused_with_the_form(text: str) -> None:
    done = CliRunner().invoke(main.app, ["backfill", "--from", text, "--to", "2026-11-30"])
    assert done.exit_code == 2
    assert f"'{text}' is not a day of the form YYYY-MM-DD, such as 2026-11-30." in done.stderr.replace(
        "\n", " "
    )
