"""Random histories: workers overtake each other, crash and are repeated.

The product runs unchanged; storage, queues and Graph are doubles that stop before each operation, and a drawn plan
says who goes on, who dies, what fails and when time passes. Its thread pools run in line, so that a plan always has
the same history. When all is quiet every signal has one outcome and at most one message that will continue it; at no
write is anything worse than before; at the end nothing that Graph offers is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from azure.storage.blob import ContainerClient
from hypothesis import HealthCheck, given, settings

from shared.days.manifests import Manifests
from shared.ledger.merge import record_for_attempt
from shared.ledger.publish import Outcomes
from shared.ledger.record import Result, load_outcome
from shared.messages import rich_notifications
from shared.messages.rich_notifications import EncryptedBatch
from shared.messages.signals import Message
from shared.services import Services
from shared.tables.columns import Table
from tests.support.blobs import Blob
from tests.support.doubles import Call, Loss
from tests.support.histories import MOST_WORKERS, SIGNALS, UPKEEP, History, simulated
from tests.support.parquet import files_of, read_table
from tests.support.published import problems_of
from tests.support.stories import STORIES, Drawn, Story, end_of

ANSWERS = {
    Result.NO_REPORT,
    Result.NOT_A_MEETING,
    Result.NOT_SUPPORTED,
    Result.EXTERNAL_ORGANIZER,
    Result.OUT_OF_SCOPE,
}
TROUBLE = {Result.PENDING, Result.FAILED}
# What may not take the place of a result.
WORSE = {
    Result.STORED: set(Result) - {Result.STORED},
    **{each: {*TROUBLE, Result.NOT_FOUND} for each in ANSWERS},
    **dict.fromkeys((Result.ACCESS_DENIED, Result.NOT_FOUND), TROUBLE),
    Result.FAILED: {Result.PENDING},
    Result.PENDING: set(),
}


class Checked(History):
    """A history with all that must hold in it."""

    def check_change(self, name: str, before: Blob | None, after: Blob | None) -> None:
        """No write to an outcome leaves its signal with less than before, and none to a report its meeting.

        The product would take an error raised here for one of its own.
        """
        try:
            self._check_change(name, before, after)
        except AssertionError as violation:
            self.violations.append(violation)
            raise

    def _check_change(self, name: str, before: Blob | None, after: Blob | None) -> None:
        if not name.startswith(("manifests/", "tables/")):
            self.tell(f"{self.going.instance if self.going else '-'} writes {shown(name, after)}")
        if before and name.startswith("reports/"):
            left = [after] if after else self.container.below("reports/")
            left = [each for each in left if each.name.rsplit("/", 1)[1] == name.rsplit("/", 1)[1]]
            assert max(map(people, left), default=0) >= people(before), f"{name} is smaller than before"
        if not name.startswith("outcomes/") or before is None:
            return
        signal = name.rsplit("/", 1)[1]
        left = (
            [after]
            if after
            else [b for b in self.container.below("outcomes/") if b.name.endswith(f"/{signal}")]
        )
        worse = WORSE[result(before)]
        assert any(result(blob) not in worse for blob in left), f"{signal} is worse than before"

    def check_quiet(self) -> None:
        """At rest, a signal has one outcome, and at most one message to continue it."""
        if self.violations:
            raise self.violations[0]
        if not self.is_quiet():
            return
        found, known = self.outcomes(), self.records()
        if not any(
            each.received for each in self.queues[UPKEEP].messages
        ):  # a slice that comes again follows
            # Of a record that is gone nobody knows the day, until Graph tells the end of the call once more.
            counts = Counter(each.signal_id for each in found if each.signal_id not in self.expired)
            assert not counts or max(counts.values()) == 1, f"two outcomes: {counts}"
            told = {(each.signal_id, each.result, each.day) for each in found}
            assert {(each.signal_id, each.result, each.day) for each in known.values()} <= told
            assert {name for name, *_ in told} <= known.keys() | self.expired
            for name in known:
                partition = Outcomes.name(name, known[name].day)
                assert partition in self.container.blobs, f"{name} has no outcome in its day"
        live = Counter(
            message.signal_id
            for text in {each.text for each in self.queues[SIGNALS].messages}  # enqueued twice, it is one
            for message in read(text)
            if record_for_attempt(message, known.get(message.signal_id), self.steps.now)
            and message.signal_id not in self.expired  # with the record went the number that fences
        )
        assert not live or max(live.values()) == 1, f"two live messages: {live}"

    def check_end(self) -> None:
        """Nothing that Graph offers is missing, and every outcome tells the truth."""
        known = {outcome.signal_id: outcome for outcome in self.outcomes()}
        counts = Counter(outcome.signal_id for outcome in self.outcomes())
        stored: dict[str, list[Blob]] = {}
        for blob in self.container.below("reports/"):
            stored.setdefault(json.loads(blob.body)["id"], []).append(blob)
        for call, drawn in zip(self.calls, self.story.calls, strict=True):
            outcome = known.get(f"cr-{call.id}")
            wanted = self._wanted(call, drawn)
            result = outcome.result if outcome else None
            assert result in wanted, f"{call.id} is {result}, not {wanted}: {outcome}"
            assert not outcome or outcome.is_unconfirmed == (drawn.kind == "phantom"), outcome
            if drawn.kind != "phantom":
                assert not outcome or counts[outcome.signal_id] == 1, f"two outcomes of {call.id}"
                if outcome and call.listed:
                    assert outcome.day == end_of(call).date(), (
                        f"{call.id} is not in the day of its end: {outcome}"
                    )
            if Result.STORED in wanted and len(wanted) == 1:
                blobs = stored.get(f"report of {call.id}", [])
                assert len(blobs) == 1, f"{call.id}: {blobs}"
                assert json.loads(blobs[0].body) in self._truths(call, drawn), f"{call.id}: {blobs}"
                assert outcome
                assert blobs[0].name in [report.path for report in outcome.reports], f"{outcome}"
            for report in outcome.reports if outcome else ():
                assert report.path in self.container.blobs, f"{outcome} names what is not there"
        self._check_manifests()
        for blob in self.container.blobs.values():
            assert problems_of(blob.name, blob.body, blob.metadata) == []

    def _truths(self, call: Call, drawn: Drawn) -> list[dict[str, Any]]:
        """What may be stored of a report in the end: all of it, or what nothing tells to be less."""
        (*_, (_, whole)) = call.readings
        return [whole, Loss.COUNT.apply_to(whole)] if Loss.COUNT in drawn.losses else [whole]

    def _wanted(self, call: Call, drawn: Drawn) -> set[Result | None]:
        if drawn.kind == "phantom":
            return {Result.NOT_FOUND} if call.id in self.announced else {None}
        if drawn.kind in ("people", "ad hoc"):
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
            found = [each for each in self.outcomes() if each.day == day]
            assert manifest.outcomes == Counter(each.result for each in found if not each.is_unconfirmed), day
            assert manifest.unconfirmed == sum(each.is_unconfirmed for each in found), day
            assert manifest.reports == len(self.container.below(f"reports/date={day.isoformat()}/")), day
            assert manifest.has_tables, day
            rows = read_table(
                lambda path: self.container.blobs[path].body,
                [each.path for each in files_of(manifest, Table.ATTENDEES)],
            )
            stored = self.container.below(f"reports/date={day.isoformat()}/")
            stored.sort(key=lambda blob: (blob.metadata["stored"], blob.name))
            reports = [json.loads(blob.body) for blob in stored]
            attended = [(each["id"], one["id"]) for each in reports for one in each["attendanceRecords"]]
            assert [(row["reportId"], row["recordId"]) for row in rows] == attended, day


def people(blob: Blob) -> int:
    return len(json.loads(blob.body)["attendanceRecords"])


def shown(name: str, blob: Blob | None) -> str:
    """A blob in one line, for whoever reads of a violation."""
    if blob is None:
        return f"{name}: gone"
    if name.startswith("reports/"):
        return f"{name}: {blob.metadata['participants']} people until {blob.metadata['end']}"
    outcome = load_outcome(blob.body, blob.metadata)
    known = [each.id for each in outcome.reports]
    fence = f"attempt {outcome.attempt}, next {outcome.next and outcome.next.at}, revision {outcome.revision}"
    return f"{name}: {outcome.result} {known} {fence}"


def read(text: str) -> Sequence[Message]:
    """The news and nudges in a message."""
    found = rich_notifications.parse_message(text)
    assert not isinstance(found, EncryptedBatch)
    return found


def result(blob: Blob) -> Result:
    return load_outcome(blob.body, blob.metadata).result


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


def test_a_worker_that_needs_a_lock_lets_its_holder_go_on() -> None:
    def read_erasures(services: Services) -> None:
        services.erasures.current()

    history = History(Story((), (0, 0), 0, packed=False, turns=()))
    with simulated(history):
        for _ in range(MOST_WORKERS):  # the first and the last are of one instance
            history._start(read_erasures)
        while history.workers:
            history._step()
