"""The stack's programs, and readers of its log."""

import os
import sys

import pytest

from local.stack.program import Log, Program, StartError

DEAF = (
    "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def run(log: Log, code: str) -> Program:
    return Program("program", [sys.executable, "-c", code], log, env=os.environ)


def test_a_reader_that_stalls_costs_lines_but_no_time() -> None:
    unread, descriptor = os.pipe()
    log = Log(descriptor)
    for number in range(2_000):
        log.write("chatty", f"{number} {'x' * 200}")
    assert os.read(unread, 9) == b"chatty: 0"
    os.close(unread)
    log.write("chatty", "nobody is there any more")
    os.close(descriptor)


def test_a_program_that_does_not_end_is_killed(log: Log) -> None:
    program = run(log, DEAF)
    program.await_line("ready", 10)
    program.stop(0.1)
    assert not program.running


def test_a_program_that_ends_before_it_is_ready_is_quoted(log: Log) -> None:
    program = run(log, "import sys; print('no such tenant'); sys.exit(4)")
    with pytest.raises(StartError, match=r"(?s)program ended with exit code 4.*no such tenant"):
        program.await_line("ready", 10)
    program.stop(0)


def test_a_program_that_says_nothing_is_waited_for_within_bounds(log: Log) -> None:
    program = run(log, "import time; time.sleep(60)")
    with pytest.raises(StartError, match=r"(?s)was not ready within 0\.1 s.*nothing"):
        program.await_line("ready", 0.1)
    program.stop(5)


def test_a_program_sees_the_end_of_its_lifeline_when_it_is_stopped(log: Log) -> None:
    program = run(log, "import sys; sys.stdin.read(); print('alone')")
    assert program.running
    program.stop(5)
    assert not program.running
