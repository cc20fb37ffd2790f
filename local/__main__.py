"""The command line of the local stack: `python -m local up|demo|end-meeting|show`.

`up` prints one line of JSON on stdout, once the app answers, and everything else on stderr. It runs until
SIGINT or SIGTERM, then stops all that it started and exits with 0.
"""

import argparse
import http.client
import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from local.stack import compose
from local.stack.program import ROOT, StartError
from local.stack.state import StateInUseError
from shared.settings import DELIVERIES

PEOPLE = 5  # in the meeting that ends once the month is archived
WELCOME = """
The stack is running; Ctrl-C stops it, and the next start continues with the same state. Try in another terminal:

  install the command line    make cli
  is everything archived?     .venv/bin/attendance --local status
  check everything            .venv/bin/attendance --local doctor
  list the reports            .venv/bin/attendance --local reports list
  end a meeting               .venv/bin/python -m local end-meeting --participants 5
  list what is stored         .venv/bin/python -m local show
  all addresses               cat {state}/stack.json

The health page, in a browser: {functions}/api/health
"""


def main() -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole system on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run the stack until Ctrl-C")
    up.add_argument("--graph-root", metavar="URL", help="use this Graph instead of the simulator")
    up.add_argument("--login-root", metavar="URL", help="use this login endpoint instead of the simulator's")
    up.add_argument("--delivery", choices=DELIVERIES, help="how Graph delivers (default: webhook)")
    up.add_argument("--functions-port", metavar="N", type=_port, default=0, help="default: any free port")
    _takes_state(up, "folder for all state (default: .local/state)")
    up.add_argument("--seed", metavar="N", type=int, default=1, help="of the simulated tenant")
    up.add_argument(
        "--subscribe", action="store_true", help="make the app subscribe, and print commands to try"
    )
    up.add_argument("--history", action="store_true", help="begin a new state with a month of past meetings")
    commands.add_parser("demo", help="show the system, from a meeting's end to its report", add_help=False)
    ended = commands.add_parser(
        "end-meeting", help="end a meeting in the simulated tenant of a running stack"
    )
    ended.add_argument("--participants", metavar="N", type=_people, default=3)
    _takes_state(ended, "of the running stack")
    shown = commands.add_parser("show", help="list the blobs of a running stack, or print one")
    shown.add_argument("blob", nargs="?", help="a blob's name")
    _takes_state(shown, "of the running stack")
    options, rest = parser.parse_known_args()
    if options.command == "demo":
        # Here, so that `up` does not load what only the demo shows.
        from local.stack import demo

        return demo.main(rest)
    if rest:
        parser.error(f"unknown: {' '.join(rest)}")
    if options.command == "up":
        return _up(options)
    return _visit(options)


def _port(text: str) -> int:
    return _whole(text, 65_535)


def _people(text: str) -> int:
    return _whole(text, 100_000)


def _whole(text: str, most: int) -> int:
    if not text.isdecimal() or int(text) > most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {most}")
    return int(text)


def _takes_state(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("--state", metavar="DIR", type=Path, default=ROOT / ".local" / "state", help=meaning)


def _visit(options: argparse.Namespace) -> int:
    # Loads the storage SDK, which `up` does without.
    import requests
    from azure.core.exceptions import AzureError, ResourceNotFoundError, ServiceRequestError

    from local.stack import visit

    try:
        if options.command == "show":
            visit.show(options.state, options.blob)
        else:
            sys.stdout.write(visit.end_meeting(options.state, options.participants) + "\n")
    except ResourceNotFoundError:
        problem = "no blob has that name; `show` alone lists them"
    except (requests.ConnectionError, ServiceRequestError):
        problem = "the stack does not answer: start it with `make up`"
    except (visit.NoStackError, requests.RequestException, AzureError) as failure:
        problem = str(failure).partition("\n")[0]
    else:
        return 0
    sys.stderr.write(f"{problem}\n")
    return 1


def _up(options: argparse.Namespace) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    is_new = not (options.state / "ports.json").exists()
    try:
        with compose.up(
            options.state,
            graph_root=options.graph_root,
            login_root=options.login_root,
            functions_port=options.functions_port,
            seed=options.seed,
            settings={"DELIVERY": options.delivery} if options.delivery else None,
        ) as running:
            sys.stdout.write(json.dumps(running.announcement()) + "\n")
            sys.stdout.flush()
            if options.subscribe:
                _subscribe(running.functions.port)
            if options.history and is_new and running.simulator:
                sys.stderr.write("A month of past meetings is archived first, within some 20 seconds …\n")
                threading.Thread(target=_begin, args=(running, options), daemon=True).start()
            else:
                _welcome(running, options)
            running.watch()
    except (StartError, StateInUseError, compose.StackError) as error:
        sys.stderr.write(f"stack: {error}\n")
    return 1


def _end(_signal: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the stopping, which is bounded.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _begin(running: compose.Stack, options: argparse.Namespace) -> None:
    """Give the new tenant a past, which the app then archives."""
    import requests

    from local.simulator.control.client import Control
    from local.stack import history

    try:
        control, functions = Control(running.graph), running.functions.url
        count = history.add_month(control)
        history.archive_month(functions)
        history.announce_meeting(control, functions, PEOPLE)
    except (requests.RequestException, TimeoutError, ValueError) as failure:
        sys.stderr.write(f"The month of past meetings is incomplete: {failure}\n")
    else:
        sys.stderr.write(f"A month of {count} past meetings is archived, and one has just ended.\n")
    _welcome(running, options)


def _welcome(running: compose.Stack, options: argparse.Namespace) -> None:
    if options.subscribe:
        sys.stderr.write(WELCOME.format(functions=running.functions.url, state=options.state))


def _subscribe(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"input": ""})
    connection.request(
        "POST", "/admin/functions/maintain_subscriptions", body, {"Content-Type": "application/json"}
    )
    connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
