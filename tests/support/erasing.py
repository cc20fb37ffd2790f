"""A person erased from the simulated app, by the code of the command line and in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from shared.cli.erasure.erase import QUIET_SECONDS, Erasure, ErasureSummary
from shared.cli.session import Session
from shared.graph.meeting_details import decode_details
from shared.privacy.erasures import ErasureKey
from shared.privacy.person import Person
from shared.storage import clients
from shared.storage.state import StateStore
from tests.support.app_settings import ERASURE_KEY
from tests.support.parquet import rows_of
from tests.support.simulated_app import App


def erasure(app: App, *identifiers: str, names: tuple[str, ...] = (), key: str = ERASURE_KEY) -> Erasure:
    """An erasure that has not begun."""
    session = SimpleNamespace(
        container=app.container,
        state_container=app.state,
        state=StateStore(cast(Any, app.state)),
        upkeep=app.queues[clients.UPKEEP_QUEUE],
        settings=app.services.settings,
    )
    person = Person(frozenset(identifiers), frozenset(names))
    return Erasure(cast(Session, session), person, ErasureKey(key), key)


def erase(app: App, *identifiers: str, names: tuple[str, ...] = ()) -> ErasureSummary:
    """Erase a person, while the app goes on."""
    job = erasure(app, *identifiers, names=names)
    job.begin()
    job.run(lambda: app.run(hours=QUIET_SECONDS / 3600), lambda look: wait_for(app, look))
    return job.summary


def everything(app: App) -> str:
    """All that lies in both containers, earlier versions included, and in the queues."""
    texts = [each.text for queue in app.queues.values() for each in queue.messages]
    for container in (app.container, app.state):
        for blob in (*container.blobs.values(), *container.earlier.values()):
            body = str(rows_of(blob.body)).encode() if blob.name.endswith(".parquet") else blob.body
            details = decode_details(blob.metadata.get("details"))
            texts.append(f"{blob.name} {blob.metadata} {details} {body.decode(errors='replace')}")
    return "\n".join(texts).lower()


def wait_for(app: App, look: Callable[[], bool | None]) -> bool | None:
    """Let time pass until something is there; None where it is not in two hours."""
    for _ in range(60):
        if found := look():
            return found
        app.run(hours=timedelta(minutes=2) / timedelta(hours=1))
    return None
