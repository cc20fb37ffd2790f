"""Random histories against the real rules: workers that overtake each other, die and are repeated at any operation.

The product runs unchanged; storage, queues and Graph are doubles that stop before each operation, and a drawn plan
says who goes on, who dies, what fails and when time passes. Its thread pools run in line, so that a plan always has
the same history. When all is quiet every signal has one outcome and at most one message that will continue it; at no
write is anything worse than before; at the end nothing that Graph offers is missing.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import cast

from azure.storage.blob import ContainerClient
from hypothesis import HealthCheck, given, settings

from shared.days.manifests import Manifests
from shared.ledger.fence import is_stale
from shared.ledger.outcome import Result, parse
from shared.messages.signals import unpack
from tests.support.blobs import Blob
from tests.support.doubles import Call
from tests.support.histories import SIGNALS, History, simulated
from tests.support.stories import STORIES, Drawn, Story

RANKS = {Result.PENDING: 0, Result.FAILED: 1, Result.NOT_FOUND: 2, Result.ACCESS_DENIED: 2, Result.STORED: 4}


class Checked(History):
    """A history with all that must hold in it."""

    def check_change(self, name: str, before: Blob | None, after: Blob | None) -> None:
        """No write to an outcome leaves its signal with less than before."""
        if not name.startswith(("manifests/", "daily/")):
            self.tell(f"{self.going.instance if self.going else '-'} writes {shown(name, after)}")
        if not name.startswith("outcomes/"):
            return
        signal = name.rsplit("/", 1)[1]
        now = [blob for blob in self.container.below("outcomes/") if blob.name.endswith(f"/{signal}")]
        others = [blob for blob in now if blob.name != name]
        best = max((rank(blob) for blob in [*others, *([before] if before else [])]), default=-1)
        assert max((rank(blob) for blob in now), default=-1) >= best, f"{signal} is worse than before"
        if before and after:
            assert rank(after) >= rank(before), f"{name} is worse than before"

    def check_quiet(self) -> None:
        """When all is quiet, a signal has one outcome, and one message at most that will continue it."""
        if not self.is_quiet():
            return
        found = self.outcomes()
        counts = Counter(outcome.signal_id for outcome in found)
        assert not counts or max(counts.values()) == 1, f"two outcomes: {counts}"
        known = {outcome.signal_id: outcome for outcome in found}
        live = Counter(
            signal.id
            for text in {each.text for each in self.queues[SIGNALS].messages}  # enqueued twice, it is one
            for signal in unpack(text)
            if not is_stale(signal, known.get(signal.id))
        )
        assert not live or max(live.values()) == 1, f"two live messages: {live}"

    def check_end(self) -> None:
        """Nothing that Graph offers is missing, and every outcome tells the truth."""
        known = {outcome.signal_id: outcome for outcome in self.outcomes()}
        stored: dict[str, list[Blob]] = {}
        for blob in self.container.below("reports/"):
            stored.setdefault(json.loads(blob.body)["id"], []).append(blob)
        for call, drawn in zip(self.calls, self.story.calls, strict=True):
            outcome = known.get(f"cr-{call.id}")
            wanted = self._wanted(call, drawn)
            result = outcome.result if outcome else None
            assert result in wanted, f"{call.id} is {result}, not {wanted}: {outcome}"
            if Result.STORED in wanted and len(wanted) == 1:
                truth = call.report(self.steps.now)
                blobs = stored.get(f"report of {call.id}", [])
                assert [json.loads(blob.body) for blob in blobs] == [truth], f"{call.id}: {blobs}"
                assert outcome
                assert blobs[0].name in [report.path for report in outcome.reports], f"{outcome}"
            for report in outcome.reports if outcome else ():
                assert report.path in self.container.blobs, f"{outcome} names what is not there"
        self._check_manifests()

    def _wanted(self, call: Call, drawn: Drawn) -> set[Result | None]:
        if drawn.kind == "phantom":
            return {Result.NOT_FOUND} if call.id in self.announced else {None}
        if drawn.kind == "people":
            return {Result.NOT_A_MEETING}
        if drawn.kind == "external":
            return {Result.EXTERNAL_ORGANIZER}
        if call.opens is None:
            return {Result.ACCESS_DENIED}
        return {Result.STORED} if call.readings else {Result.NO_REPORT, Result.STORED}

    def _check_manifests(self) -> None:
        """Every day is sealed, and its manifest counts what is there."""
        container = cast(ContainerClient, self.container)
        days = {outcome.day for outcome in self.outcomes()}
        for day in days:
            manifest = Manifests(container).read(day)
            assert manifest, day
            assert manifest.complete, manifest
            assert manifest.outcomes == Counter(each.result for each in self.outcomes() if each.day == day), (
                day
            )
            assert manifest.reports == len(self.container.below(f"reports/date={day.isoformat()}/")), day
            parts = self.container.below(f"daily/date={day.isoformat()}/")
            assert manifest.daily == tuple(part.name for part in parts), day
            rows = [json.loads(row) for part in parts for row in gzip.decompress(part.body).splitlines()]
            reports = [
                json.loads(blob.body) for blob in self.container.below(f"reports/date={day.isoformat()}/")
            ]
            attended = [(each["id"], one["id"]) for each in reports for one in each["attendanceRecords"]]
            assert [(row["reportId"], row["recordId"]) for row in rows] == attended, day


def shown(name: str, blob: Blob | None) -> str:
    """A blob in one line, for whoever reads of a violation."""
    if blob is None:
        return f"{name}: gone"
    if name.startswith("reports/"):
        return f"{name}: {blob.metadata['participants']} people until {blob.metadata['end']}"
    outcome = parse(blob.body)
    known = [each.id for each in outcome.reports]
    fence = f"attempt {outcome.attempt}, ticket {outcome.ticket}, next {outcome.next_attempt}"
    return f"{name}: {outcome.result} {known} {fence}"


def rank(blob: Blob) -> int:
    """How much an outcome knows, as docs/consumers.md orders them."""
    return RANKS.get(parse(blob.body).result, 3)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STORIES)
def test_whatever_happens_every_signal_has_one_outcome_and_no_report_is_lost(story: Story) -> None:
    history = Checked(story)
    with simulated(history):
        try:
            history.play()
            history.check_end()
        except BaseException as violation:
            violation.add_note("\n".join(history.told[-400:]))
            raise
