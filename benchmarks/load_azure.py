"""Reply and archiving times of a real deployment, measured with its own archive.

Nothing is made up: calls whose reports are stored are announced again, which costs one reading of a record each,
and with --archive it is asked to take up again what it stored, which reads every report once more. Beside each answer
stands the host's own front page, asked for in turn. Sign in as for `attendance`; the client state is taken from the
settings, or from CLIENT_STATE where those only refer to the key vault.
"""

import argparse
import http.client
import itertools
import json
import os
import ssl
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urlsplit

from shared import times
from shared.cli import session
from shared.cli.session import Session
from shared.errors import AttendanceError
from shared.ledger.publish import Outcomes, OutcomeSummary
from shared.ledger.record import Result
from shared.messages import tasks
from shared.messages.signals import SignalKind, kind_of
from shared.messages.tasks import Redrive, Task
from tests.support import posts
from tests.support.measured import percentiles
from tests.support.posts import Connection

SIZES = (1, 10, 100, 500)
TIMES = 5  # each size of a batch is sent
MOST_CALLS = 1_000  # announced in turn
TIMEOUT = 60.0
SECONDS_BETWEEN_LOOKS = 5.0
GIVE_UP_AFTER = 3_600.0
SECOND = timedelta(seconds=1)  # in which storage tells times


@dataclass(frozen=True)
class Archived:
    """The result of a redrive: outcomes settled again, and seconds until the last."""

    outcomes: int
    seconds: float


@dataclass(frozen=True)
class Load:
    """Times in milliseconds; `front` is the host's own page.

    `over_front` is the median of the pairs' ratios.
    """

    handshake: float
    one: float
    front: float
    over_front: float
    batches: Mapping[int, float]
    burst: int
    median: float
    p99: float
    longest: float
    refused: int
    archived: Archived | None


@dataclass(frozen=True)
class Target:
    """Where notifications go to, and what they must say."""

    address: SplitResult
    settings: Mapping[str, str]

    def connect(self) -> Connection:
        """A connection of one's own."""
        host, port = self.address.hostname or "", self.address.port
        if self.address.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)

    def post(self, connection: Connection, calls: Sequence[str]) -> tuple[float, int]:
        """Announce these calls in one POST."""
        body = json.dumps({"value": [posts.notification(call, self.settings) for call in calls]})
        return posts.timed(connection, "POST", f"{self.address.path}/notifications", body, posts.JSON)

    def handshake(self, connection: Connection) -> tuple[float, int]:
        """What Graph asks before it sends anything."""
        path = f"{self.address.path}/notifications?{urlencode({'validationToken': 'a token'})}"
        return posts.timed(connection, "POST", path)


def target(environ: Mapping[str, str]) -> Target:
    """The deployed app with these settings.

    Raises AttendanceError for what is missing.
    """
    base = environ.get("NOTIFICATION_BASE_URL", "")
    state = environ.get("CLIENT_STATE", "")
    if state.startswith("@Microsoft.KeyVault"):
        state = os.environ.get("CLIENT_STATE", "")
    for name, value in {"NOTIFICATION_BASE_URL": base, "CLIENT_STATE": state}.items():
        if not value:
            raise AttendanceError(f"{name} is not set: give it in the environment.")
    return Target(urlsplit(base), {"TENANT_ID": environ.get("TENANT_ID", ""), "CLIENT_STATE": state})


def run(of: Session, days: int, pairs: int, burst: int, *, archive: bool = False) -> Load:
    """Measure everything.

    Raises AttendanceError if nothing was stored in the last `days`.
    """
    app, outcomes = target(of.environ), Outcomes(of.container)
    today = times.now().date()
    dates = [today - timedelta(days=back) for back in range(days)]
    stored = list(itertools.islice(_stored(outcomes, dates), MOST_CALLS))
    if not stored:
        raise AttendanceError(f"No report of a call was stored in the last {days} days.")
    calls = [each.signal_id.partition("-")[2] for each in stored]
    some = itertools.cycle(calls)
    with closing(app.connect()) as connection:
        app.post(connection, [next(some)])
        handshakes = [app.handshake(connection)[0] for _ in range(pairs)]
        in_turn = [
            (app.post(connection, [next(some)])[0], posts.timed(connection, "GET", "/")[0])
            for _ in range(pairs)
        ]
        batches = {
            size: statistics.median(
                app.post(connection, list(itertools.islice(some, size)))[0] for _ in range(TIMES)
            )
            for size in SIZES
        }
    announced = [[call] for call in itertools.islice(some, burst)]
    took, refused = posts.burst(app.connect, app.post, announced)
    times_of_burst = percentiles(took)
    return Load(
        statistics.median(handshakes),
        statistics.median(one for one, _ in in_turn),
        statistics.median(front for _, front in in_turn),
        statistics.median(one / front for one, front in in_turn),
        batches,
        burst,
        times_of_burst.median,
        times_of_burst.p99,
        times_of_burst.last,
        refused,
        _archive(of, outcomes, dates) if archive else None,
    )


def _stored(outcomes: Outcomes, days: Sequence[date]) -> Iterator[OutcomeSummary]:
    for day in days:
        for each in outcomes.list(day):
            if each.result == Result.STORED and kind_of(each.signal_id) is SignalKind.CALL_RECORD:
                yield each


def _archive(of: Session, outcomes: Outcomes, days: Sequence[date]) -> Archived:
    """Redrive everything stored, and wait for the end.

    Raises AttendanceError when it takes too long.
    """
    wanted = {each.name for each in _stored(outcomes, days)}
    began = times.now()
    of.upkeep.send(tasks.serialize_task(Task(Redrive(frozenset({Result.STORED}), days[-1], days[0]))))
    deadline = time.monotonic() + GIVE_UP_AFTER
    while time.monotonic() < deadline:
        settled = _settled(of, wanted, began)
        if len(settled) == len(wanted):
            return Archived(len(wanted), (max(settled) - began).total_seconds())
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise AttendanceError(f"What was stored was not taken up again within {GIVE_UP_AFTER:.0f} s.")


def _settled(of: Session, names: set[str], began: datetime) -> list[datetime]:
    """When each of these outcomes was settled again."""
    folders = {name.rpartition("/")[0] for name in names}
    blobs = (blob for each in folders for blob in of.container.list_blobs(name_starts_with=f"{each}/"))
    return [
        blob.last_modified for blob in blobs if blob.name in names and blob.last_modified >= began - SECOND
    ]


def lines(found: Load) -> list[tuple[str, str]]:
    """What, measured."""
    rows = [
        ("handshake", f"{found.handshake:.0f} ms"),
        ("acknowledging one item, over the front page", f"{found.over_front:.2f} x"),
        ("  one item, and the front page", f"{found.one:.0f} ms, {found.front:.0f} ms"),
        *((f"  a batch of {size:,}", f"{took:.0f} ms") for size, took in found.batches.items()),
        (f"p99 of a burst of {found.burst:,}", f"{found.p99:.0f} ms"),
        ("  median and longest of the burst", f"{found.median:.0f} ms, {found.longest:.0f} ms"),
        ("  refused in the burst", f"{found.refused}"),
    ]
    if found.archived:
        each = found.archived
        rate = each.outcomes / max(each.seconds, 1.0)
        rows.append(("reports read again, and a second", f"{each.outcomes:,}, {rate:.1f}"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_azure", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="what `az functionapp config appsettings list` prints",
    )
    which.add_argument("--local", action="store_true", help="the local stack that `make up` started")
    parser.add_argument("--days", type=int, default=2, help="whose stored calls are announced again")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--burst", type=int, default=1_000)
    parser.add_argument(
        "--archive", action="store_true", help="also have all reports of those days read again"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        environ, source = session.load_environment(options.settings, local=options.local)
        found = run(
            Session(environ, None, None, options.json, source),
            options.days,
            options.pairs,
            options.burst,
            archive=options.archive,
        )
    except AttendanceError as failure:
        print(failure, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        for what, measured in lines(found):
            print(f"{what:<48} {measured:>24}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
