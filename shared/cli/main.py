"""Command line `attendance`: all commands, their common options and examples."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from .. import __version__
from . import session
from .commands import (
    doctor,
    explain,
    export,
    fetch,
    jobs,
    person,
    reports,
    sql,
    status,
    subscriptions,
    training,
    watch,
)
from .output import (
    FAILED,
    PIPE_CLOSED,
    describe_os_error,
    discard_output,
    print_message,
    report_errors,
)
from .session import OutputFormat, Session
from .sign_in import SignIn

HELP = """Operate the attendance archive, and read its contents.

It reads the app's settings from --settings FILE, from the environment, or with --local from the local stack, and
signs in as you (see --sign-in). Results go to stdout, everything else to stderr.

The options below may be given before or after the command.

\b
Exit codes:
  0    done
  1    failed; one sentence on stderr says why
  2    wrong usage
  3    status or doctor found a problem
  4    you are not signed in
  130  interrupted

\b
First steps:
  attendance --local status            the local stack, which `make up` runs
  az functionapp config appsettings list --resource-group RG --name APP > app.json
  attendance doctor --settings app.json    the app in Azure
"""
EXAMPLES = {
    "status": "attendance status --settings app.json",
    "doctor": "attendance doctor --organizer 8b081ef6-4792-4def-b2c9-c363a1bf41d5",
    "explain": "attendance explain 'https://teams.microsoft.com/l/meetup-join/…' --on 2026-11-23 --wait",
    "backfill": "attendance backfill --from 2026-10-28 --to 2026-11-26 --wait",
    "redrive": "attendance redrive --outcome accessDenied --from 2026-11-01 --dry-run",
    "fetch": "attendance fetch /me/onlineMeetings/ID/attendanceReports/ID --sign-in device-code --client-id ID",
    "sql": "attendance sql 'SELECT date, subject, records FROM meetings' --from 2026-11-01 --to 2026-11-30",
    "export": "attendance export --from 2026-11-01 --to 2026-11-30 --format csv --output tables",
    "training": "attendance training 'https://teams.microsoft.com/l/meetup-join/…' --roster team.csv --at-least 80% "
    "--late-after 5 --output training.html",
    "subscriptions list": "attendance subscriptions list",
    "subscriptions renew": "attendance subscriptions renew",
    "subscriptions delete": "attendance subscriptions delete 668ee993-a9ce-4fe7-9316-536ac80cfb6c",
    "watch add": "attendance watch add 'https://teams.microsoft.com/l/meetup-join/…' --until 2026-12-31",
    "watch list": "attendance watch list --output csv",
    "watch remove": "attendance watch remove 'https://teams.microsoft.com/l/meetup-join/…'",
    "reports list": "attendance reports list --from 2026-11-23 --to 2026-11-23 --output csv",
    "reports show": "attendance reports show c9b6db1c-d5eb-427d-a5c0-20088d9b22d7 --output meeting.html",
    "reports download": "attendance reports download copy --from 2026-11-01 --to 2026-11-30 --what tables",
    "me list": "attendance me list 'https://teams.microsoft.com/l/meetup-join/…' --client-id ID",
    "person find": "attendance person find megan@contoso.com --from 2026-11-01 --to 2026-11-30",
    "person erase": "attendance person erase megan@contoso.com --dry-run",
}


class _Command(TyperCommand):
    """A command whose help shows its arguments without Python's types."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for each in self.params:
            if isinstance(each, TyperArgument):
                vars(each)["display_type_rich"] = lambda ctx: None


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes cut long words at 80 columns, and cannot be copied
    help=HELP,
)

_FLAGS = ("--json", "--local")
_VALUED = ("--settings", "--sign-in", "--client-id")
_WITH_FILES = (
    ["export"],
    ["fetch"],
    ["training"],
    ["reports", "show"],
)  # their own --output is a file or a folder


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    settings: Annotated[
        Path | None,
        typer.Option(
            envvar="ATTENDANCE_SETTINGS",
            metavar="FILE",
            help="The app's settings, as `az functionapp config appsettings list` prints them.",
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Work on the local stack that `make up` runs.")
    ] = False,
    sign_in: Annotated[
        SignIn | None,
        typer.Option(
            help="How to sign in. Default: device-code for `me`, otherwise auto: the managed identity if there is "
            "one, else `az login`, else `azd auth login`."
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            envvar="ATTENDANCE_CLIENT_ID",
            metavar="ID",
            help="Client id of a public client registration with the delegated permissions OnlineMeetings.Read and "
            "OnlineMeetingArtifact.Read.All; for device-code and browser.",
        ),
    ] = None,
    form: Annotated[
        OutputFormat,
        typer.Option(
            "--output",
            help="Format of the results. After `export`, `fetch`, `training` and `reports show`, --output is a file or "
            "folder.",
        ),
    ] = OutputFormat.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See `HELP`, which typer shows."""
    with report_errors():
        environ, source = session.load_environment(settings, local=local)
        chosen = OutputFormat.JSON if as_json else form
        session.set_current(Session(environ, sign_in, client_id, chosen, source))


for _module in (status, doctor, explain, jobs, fetch, sql, export, training):
    _module.register(app)
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(watch.app, name="watch")
app.add_typer(reports.app, name="reports")
app.add_typer(fetch.me, name="me")
app.add_typer(person.app, name="person")


def _complete_help(group: typer.Typer, path: str = "") -> None:
    """Add to each command its example, and a summary for the list of commands."""
    for command in group.registered_commands:
        if command.callback is None:
            continue
        name = command.name or command.callback.__name__
        command.cls = _Command
        # The whole first line, which click would cut.
        command.short_help = (inspect.getdoc(command.callback) or "").partition("\n")[0]
        if example := EXAMPLES.get(path + name):
            command.epilog = f"\b\nExample:\n  {example}"
    for each in group.registered_groups:
        if each.typer_instance:
            each.short_help = each.typer_instance.info.help
            _complete_help(each.typer_instance, f"{path}{each.name} ")


_complete_help(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # Windows gives a file fewer letters than names have
    try:
        try:
            app(move_options_first(sys.argv[1:] if arguments is None else arguments), prog_name="attendance")
        finally:
            ending = sys.exception()
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(PIPE_CLOSED)
    except OSError as failure:  # such as that a disk is full
        discard_output()
        if not isinstance(ending, SystemExit) or not ending.code:  # else the command has said so
            print_message(f"attendance: {describe_os_error(failure)}")
        sys.exit(FAILED)


def move_options_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the common options first.

    Options behind a `--` stay where they are.
    """
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        each = waiting.pop(0)
        if each == "--":
            rest += [each, *waiting]
            break
        valued = _VALUED if any(rest[: len(path)] == path for path in _WITH_FILES) else (*_VALUED, "--output")
        if each in _FLAGS or each.startswith(tuple(f"{name}=" for name in valued)):
            first.append(each)
        elif each in valued:
            first += [each, *waiting[:1]]
            del waiting[:1]
        else:
            rest.append(each)
    return first + rest
