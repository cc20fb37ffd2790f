"""`subscriptions`: list the app's subscriptions, and request changes.

Graph shows and changes a subscription only for the app that created it, so nothing here asks Graph.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from ... import times
from ...errors import AttendanceError
from ...messages import tasks
from ...messages.tasks import DeleteSubscription, MaintainSubscriptions, RenewSubscription, Task
from ...subscriptions import status
from ...subscriptions.status import Maintenance, SubscriptionStatus
from .. import output
from ..output import report_errors
from ..session import current

CHECK_AFTER = 5  # seconds from a change until the app checks its subscriptions
WAIT = 180

app = typer.Typer(
    no_args_is_help=True, help="List and change the app's subscriptions to Graph's notifications."
)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the subscription, as `list` shows it.")]


@app.command("list")
def list_subscriptions() -> None:
    """List the subscriptions of the app's identity after the last maintenance."""
    with report_errors():
        run = _last_run()
        if run is None:
            raise AttendanceError("The app has published no subscriptions yet: run `subscriptions renew`.")
        _print_run(run)


@app.command()
def renew(
    identifier: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Id of one subscription. Default: all that the app needs."),
    ] = None,
) -> None:
    """Make the app renew its subscriptions now, and create missing ones."""
    with report_errors():
        run = _last_run()
        views = run.subscriptions or () if run else ()
        desired = [each.id for each in views if each.id and each.status is not SubscriptionStatus.ELSEWHERE]
        if identifier:
            _check_known(identifier, run)
        for each in [identifier] if identifier else desired:
            current().upkeep.send(tasks.serialize_task(Task(RenewSubscription(each))))
        _print_run(_wait_for_maintenance())


@app.command()
def delete(identifier: Id) -> None:
    """Make the app delete a subscription; one that it needs is created again."""
    with report_errors():
        _check_known(identifier, _last_run())
        current().upkeep.send(tasks.serialize_task(Task(DeleteSubscription(identifier))))
        _print_run(_wait_for_maintenance())


def _check_known(identifier: str, run: Maintenance | None) -> None:
    """Refuse an id that the app has not published. Raises AttendanceError."""
    known = [each.id for each in run.subscriptions or () if each.id] if run else []
    if identifier not in known:
        have = ", ".join(known) or "none"
        raise AttendanceError(
            f"The app has no subscription {identifier}. Those of the last maintenance: {have}."
        )


def _wait_for_maintenance() -> Maintenance:
    """Return the state of the subscriptions after the request.

    Raises AttendanceError if the app does not answer.
    """
    began = times.now()
    current().upkeep.send(tasks.serialize_task(Task(MaintainSubscriptions())), CHECK_AFTER)

    def newer() -> Maintenance | None:
        run = _last_run()
        return run if run and _is_newer(run, began) else None

    if run := output.wait_for(newer, "The app checks its subscriptions …", WAIT):
        return run
    raise AttendanceError(f"The app has not answered within {WAIT} s: see `attendance doctor`.")


def _is_newer(run: Maintenance, began: datetime) -> bool:
    return (run.at - began).total_seconds() >= CHECK_AFTER - 1


def _last_run() -> Maintenance | None:
    return status.read_last_run(current().state)


def _print_run(run: Maintenance) -> None:
    """Print the subscriptions and problems.

    Raises AttendanceError if the app could not read Graph's list.
    """
    if run.subscriptions is None:
        problem = "The app could not read Graph's list of subscriptions."
        raise AttendanceError(" ".join((problem, *run.problems)))
    output.print_rows(
        [status.view_fields(each) for each in run.subscriptions],
        ("id", "state", "expires", "resource"),
        "There are no subscriptions.",
    )
    for problem in run.problems:
        output.print_message(f"attendance: {problem}")
