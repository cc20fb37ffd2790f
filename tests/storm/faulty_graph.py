"""Faults of Graph, each for a certain share of requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from local.simulator.control.client import Control
from local.simulator.faults.responses import Fault

HUNG = 35.0  # seconds, longer than a client waits
CLOCK_OFFSET = 1_200.0  # seconds by which Graph's clock is ahead all the while
BOMB = 16 * 1024 * 1024
ANY, RECORDS, REPORTS = r"/v1\.0/", r"/callRecords/", r"attendanceReports"
REPORT = r"attendanceReports/[^/?]+\?"
YEARS_AGO = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT"}

# A list of calls whose links go round costs the app an hour by its own delays: see tests/model/test_call_records.py.
# Primes, so that they do not strike in step: of all requests, some 9 % meet one.
KINDS: dict[str, Fault] = {
    "429, to wait 1 s": Fault(ANY, status=429, headers={"Retry-After": "1"}, every=211),
    "429, to wait 5 s": Fault(REPORTS, status=429, headers={"Retry-After": "5"}, every=223),
    "429, not said how long": Fault(ANY, status=429, every=227),
    "500": Fault(ANY, status=500, every=229),
    "502": Fault(ANY, status=502, body="<html>Bad gateway</html>", every=233),
    "503": Fault(ANY, status=503, headers={"Retry-After": "1"}, every=239),
    "504": Fault(ANY, status=504, body="", every=241),
    "401 in the middle": Fault(ANY, status=401, every=251),
    "late 404 of a record": Fault(RECORDS, method="GET", status=404, every=31),
    "late 404 of a report": Fault(REPORTS + "/", status=404, every=37),
    "connection reset": Fault(ANY, action="reset", every=257),
    "reply cut off": Fault(ANY, action="cut", every=263),
    "reply garbled": Fault(ANY, action="garble", every=269),
    "slow": Fault(ANY, action="delay", seconds=3.0, every=271),
    "no reply in time": Fault(ANY, action="delay", seconds=HUNG, every=1_009),
    "report in part": Fault(REPORT, action="part", every=23),
    "200, and no call record": Fault(RECORDS, method="GET", status=200, body={}, every=61),
    "200, and an error": Fault(REPORTS, status=200, body={"error": {"code": "Gone"}}, every=67),
    "clock of 2001": Fault(ANY, action="headers", headers=YEARS_AGO, every=97),
    "reply that drips": Fault(REPORTS, action="drip", seconds=0.0005, every=331),
    "reply that drips for ever": Fault(REPORTS, action="drip", seconds=0.5, every=2_003),
    "links in a cycle": Fault(REPORTS, action="cycle", every=101),
    "links without end": Fault(REPORTS, action="endless", every=211),
    "next link of another name": Fault(REPORTS, action="otherLink", every=199),
    "bomb": Fault(ANY, action="headers", encoding="gzip", pad=BOMB, every=499),
    "bomb in a bomb": Fault(ANY, action="headers", encoding="gzip,gzip", pad=BOMB, every=997),
}


class Weather:
    """What has struck, by kind."""

    def __init__(self, control: Control) -> None:
        self.counts: dict[str, int] = {}
        self._control = control

    def clear(self) -> None:
        """No more faults."""
        if not self.counts:
            self.counts = {
                kind: struck for kind, (_, struck) in zip(KINDS, self._control.faults(), strict=True)
            }
            self._control.clear_faults()
            self._control.change_settings(clockOffset=0.0)


@contextmanager
def weather(control: Control, often: int = 1) -> Iterator[Weather]:
    """Faults until the context ends, `often` times as often as in `KINDS`."""
    for fault in KINDS.values():
        control.add_fault(replace(fault, every=max(2, fault.every // often), times=-1))
    control.change_settings(clockOffset=CLOCK_OFFSET)
    made = Weather(control)
    try:
        yield made
    finally:
        made.clear()
