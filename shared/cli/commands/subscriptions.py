"""`subscriptions`: those of the app's identity, as the app published them, and requests to change them.

Graph shows and changes a subscription for the app that made it, so nothing here asks Graph.
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
from ..output import told
from ..session import current

LOOK_AFTER = 5  # seconds from a change until the app is asked how its subscriptions stand
WAIT = 180

app = typer.Typer(no_args_is_help=True, help="The app's subscriptions to Graph's notifications.")
Id = Annotated[str, typer.Argument(help="Id of the subscription, as `list` shows it.")]


@app.command("list")
def list_subscriptions() -> None:
    """List the subscriptions of the app's identity, as the last run of maintain_subscriptions left them."""
    with told():
        run = _last()
        if run is None:
            raise AttendanceError(
                "The app has published no subscriptions yet: ask with `subscriptions renew`."
            )
        _show(run)


@app.command()
def renew(
    identifier: Annotated[
        str | None, typer.Argument(help="Id of one subscription. Default: all that the app wants.")
    ] = None,
) -> None:
    """Have the app renew its subscriptions now, and make those that are missing."""
    with told():
        before = _last()
        known = before.subscriptions or () if before else ()
        wanted = [each.id for each in known if each.id and each.status is not SubscriptionStatus.ELSEWHERE]
        for each in [identifier] if identifier else wanted:
            current().upkeep.send(tasks.serialize_task(Task(RenewSubscription(each))))
        _show(_after())


@app.command()
def delete(identifier: Id) -> None:
    """Have the app delete one of its identity's subscriptions. One that it wants, it makes anew."""
    with told():
        current().upkeep.send(tasks.serialize_task(Task(DeleteSubscription(identifier))))
        _show(_after())


def _after() -> Maintenance:
    """How the subscriptions stand after what was asked for. Raises AttendanceError."""
    began = times.now()
    current().upkeep.send(tasks.serialize_task(Task(MaintainSubscriptions())), LOOK_AFTER)

    def newer() -> Maintenance | None:
        run = _last()
        return run if run and _is_after(run, began) else None

    if run := output.awaited(newer, "The app sees to its subscriptions …", WAIT):
        return run
    raise AttendanceError(f"The app has not answered within {WAIT} s: see `attendance doctor`.")


def _is_after(run: Maintenance, began: datetime) -> bool:
    return (run.at - began).total_seconds() >= LOOK_AFTER - 1


def _last() -> Maintenance | None:
    return status.read_last_run(current().state)


def _show(run: Maintenance) -> None:
    output.rows(
        [status.view_fields(each) for each in run.subscriptions or ()],
        ("id", "state", "expires", "resource"),
        "There is none.",
    )
    for problem in run.problems:
        output.say(f"attendance: {problem}")
