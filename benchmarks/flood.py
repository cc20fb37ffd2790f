"""Delay of Graph's handshake and notifications by a flood of strangers' bodies.

Bodies of strangers come at a fixed rate on connections of their own. Beside them, in turn, come handshakes and
notifications of one item, first alone and then in each flood. Graph waits 10 s for the one and 3 s for the other.
"""

import argparse
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from local.stack import compose
from local.stack.compose import Stack
from local.stack.program import Log
from tests.support import posts
from tests.support.posts import Connection

NEVER = "0 0 0 29 2 *"
SETTINGS = {
    "MAINTAIN_SCHEDULE": NEVER,
    "SWEEP_SCHEDULE": NEVER,
    "AzureWebJobs.archive_reports.Disabled": "true",
}
MIB = 1024 * 1024
RATE = 5.0  # bodies a second
SECONDS = 10.0  # of each flood
HANDSHAKE, NOTIFICATION = 10_000, 3_000  # milliseconds that Graph waits


@dataclass(frozen=True)
class Flooded:
    """Longest replies in milliseconds.

    Also how many bodies of the flood were answered.
    """

    handshake: float
    notification: float
    answered: int


def floods(settings: Mapping[str, str]) -> dict[str, bytes]:
    """Bodies that cost most, by what they are."""
    stranger = b'{"clientState":"' + b"x" * len(settings["CLIENT_STATE"]) + b'"},'
    return {
        "empty items, 1 MiB": _body(b"{},", MIB),
        "empty items, 256 KiB": _body(b"{},", MIB // 4),
        "wrong states, 256 KiB": _body(stranger, MIB // 4),
        "escapes, 256 KiB": _body(b'{"\\u0061":1},', MIB // 4),
        "empty items, 16 KiB": _body(b"{},", 16 * 1024),
    }


def _body(item: bytes, size: int) -> bytes:
    head, tail = b'{"value":[', b"{}]}"
    return (head + item * ((size - len(head) - len(tail)) // len(item)) + tail).ljust(size)


def run(rate: float = RATE, seconds: float = SECONDS) -> dict[str, Flooded]:
    """Measure alone, and in each flood of so many bodies a second."""
    log = Log(os.open(os.devnull, os.O_WRONLY))
    with compose.up(settings=SETTINGS, log=log) as running:
        _in_turn(running, 2.0)  # all is warm then
        handshake, notification = _in_turn(running, seconds)
        found = {"alone": Flooded(handshake, notification, 0)}
        for name, body in floods(running.settings).items():
            with _flood(running, body, rate) as answered:
                handshake, notification = _in_turn(running, seconds)
            found[name] = Flooded(handshake, notification, len(answered))
        return found


@contextmanager
def _flood(running: Stack, body: bytes, rate: float) -> Iterator[list[int]]:
    """Send a body at this rate, each on a connection of its own.

    Does not wait for replies.
    """
    over, answered, senders = threading.Event(), list[int](), list[threading.Thread]()

    def send() -> None:
        try:
            with closing(_connect(running)) as connection:
                connection.request("POST", "/api/notifications", body, posts.JSON)
                answered.append(connection.getresponse().status)
        except OSError:
            return  # the flood is over, and so is the stack

    def keep_sending() -> None:
        while not over.wait(1 / rate):
            senders.append(threading.Thread(target=send))
            senders[-1].start()

    clock = threading.Thread(target=keep_sending)
    clock.start()
    try:
        yield answered
    finally:
        over.set()
        clock.join()
        for sender in senders:
            sender.join()


def _in_turn(running: Stack, seconds: float) -> tuple[float, float]:
    """Measure the longest handshake and the longest notification.

    For so many seconds; in milliseconds.
    """
    handshakes, notifications = [0.0], [0.0]
    end = time.monotonic() + seconds
    number = 0
    with closing(_connect(running)) as connection:
        while time.monotonic() < end:
            number += 1
            took, status = posts.timed(connection, "POST", "/api/notifications?validationToken=t", "")
            handshakes.append(took if status == http.client.OK else HANDSHAKE)
            call = f"e523d2ed-2966-4b6b-925b-{number:012}"
            body = json.dumps({"value": [posts.notification(call, running.settings)]})
            took, status = posts.timed(connection, "POST", "/api/notifications", body, posts.JSON)
            notifications.append(took if status == http.client.ACCEPTED else NOTIFICATION)
            time.sleep(0.02)
    return max(handshakes), max(notifications)


def _connect(running: Stack) -> Connection:
    address = urlsplit(running.functions.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)


def lines(found: Mapping[str, Flooded]) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    goals = f"≤ {HANDSHAKE // 10:,} ms, ≤ {NOTIFICATION // 10:,} ms"
    return [
        (name, f"{each.handshake:.0f} ms, {each.notification:.0f} ms", goals) for name, each in found.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help=f"bodies a second (default: {RATE:g})")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"of each flood (default: {SECONDS:g})"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.rate, options.seconds)
    if options.json:
        print(json.dumps({name: asdict(each) for name, each in found.items()}, indent=2))
        return 0
    print(f"{'longest handshake, longest notification':<40}")
    for what, measured, goal in lines(found):
        print(f"{what:<40} {measured:>20}  {goal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
