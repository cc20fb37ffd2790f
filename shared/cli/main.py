"""Command line `attendance`: all commands and their common options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from . import session
from .commands import doctor, explain, export, fetch, jobs, person, reports, status, subscriptions, watch
from .output import report_errors
from .session import Session
from .sign_in import SignIn

HELP = """Operate the attendance archive, and read its contents.

It reads the app's settings from --settings FILE, from the environment, or with --local from the local stack, and
signs in as you (see --sign-in). Results go to stdout, everything else to stderr.

Exit codes: 0 done; 1 failed, with one sentence on stderr that says why; 2 wrong usage; 3 a problem was found
(status and doctor); 130 interrupted.

The options below may be given before or after the command. First steps:

- `attendance --local status` shows the status of the local stack, which `make up` runs.

- `az functionapp config appsettings list --resource-group RG --name APP > app.json`, once, and then
  `attendance doctor --settings app.json` checks the app in Azure.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=HELP,
)

_FLAGS = ("--json", "--local")
_VALUED = ("--settings", "--sign-in", "--client-id")


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
            help="The app's settings, as `az functionapp config appsettings list` prints them.",
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Work on the local stack that `make up` runs.")
    ] = False,
    sign_in: Annotated[
        SignIn | None,
        typer.Option(
            help="How to sign in. auto: the managed identity if there is one, else `az login`, else `azd auth "
            "login`. For /me: device-code or browser."
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            envvar="ATTENDANCE_CLIENT_ID",
            help="Client id of a public client registration with the delegated permissions OnlineMeetings.Read and "
            "OnlineMeetingArtifact.Read.All; for device-code and browser.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See `HELP`, which typer shows."""
    with report_errors():
        environ, source = session.load_environment(settings, local=local)
        session.set_current(Session(environ, sign_in, client_id, as_json, source))


for _module in (status, doctor, explain, jobs, fetch, export):
    _module.register(app)
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(watch.app, name="watch")
app.add_typer(reports.app, name="reports")
app.add_typer(fetch.me, name="me")
app.add_typer(person.app, name="person")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    app(move_options_first(sys.argv[1:] if arguments is None else arguments), prog_name="attendance")


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
        if each in _FLAGS or each.startswith(tuple(f"{name}=" for name in _VALUED)):
            first.append(each)
        elif each in _VALUED:
            first += [each, *waiting[:1]]
            del waiting[:1]
        else:
            rest.append(each)
    return first + rest
