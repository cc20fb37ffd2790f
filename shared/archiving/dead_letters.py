"""Dead letters: store a message that cannot be processed as a `failed` outcome.

The platform's poison queue drops a message after seven days. A record stays, is counted, and can be redriven. A message
that cannot be parsed names no signal: its record is named after the message's hash and holds its text without tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from .. import logs, times
from ..errors import ErasureKeyError, NotOurMessage
from ..ledger import merge
from ..ledger.journal import Journal
from ..ledger.record import AttemptSeries, DeadLetter, NextAttempt, Purpose, Record, Result, new_commit
from ..messages import rich_notifications, tasks
from ..messages.rich_notifications import EncryptedBatch
from ..messages.signals import Message
from ..messages.tasks import Backfill, Redrive
from ..services import Services
from ..storage.clients import SIGNALS_QUEUE, UPKEEP_QUEUE, Queue
from . import backoff

MOST_DRAINED = 1_000
KEY_WAIT = 600  # seconds
TRIED_OUT = "The message failed as often as the queue allows."
_KIND = re.compile(r"[A-Za-z]{1,40}\Z")  # published, so it must not hold arbitrary text
_SECRETS = ("validationTokens", "encryptedContent")


def return_later(text: str, queue: Queue, failure: ErasureKeyError) -> None:
    """Send a message again that must wait until ERASURE_KEY is right.

    If it came back by itself, its ten deliveries would be used up within minutes.
    """
    queue.send(text, KEY_WAIT)
    logs.error("message.waiting", delay=KEY_WAIT, error=str(failure))


def record_dead_message(text: str, services: Services) -> None:
    """Record a message of the poison queue of `meeting-signals` as failed."""
    try:
        _record_dead_message(text, services)
    except ErasureKeyError as failure:
        return_later(text, services.journal.queue, failure)


def _record_dead_message(text: str, services: Services) -> None:
    try:
        content = rich_notifications.parse_message(text)
    except NotOurMessage as failure:
        record_unreadable(text, SIGNALS_QUEUE, str(failure), services.journal)
        return
    if isinstance(content, EncryptedBatch):  # nothing has verified it, so it says nothing of other meetings
        watched = [each for each in content.items if services.watch.find(each.join_url)]
        content = replace(content, items=tuple(watched)).without_ciphertext()
    for each in content:
        with logs.about(signal=each.signal_id, traceparent=each.traceparent):
            _record_failed(each, services.journal, services.settings.retry_window)


def drain_tasks(services: Services) -> None:
    """Empty the poison queue of `upkeep`, which has no queue trigger.

    An operator's job is recorded and can be redriven; every other task is scheduled again anyway.
    """
    for text in services.dead_tasks.drain(MOST_DRAINED):
        try:
            job = tasks.parse_task(text).job
        except NotOurMessage as failure:
            record_unreadable(text, UPKEEP_QUEUE, str(failure), services.journal)
            continue
        if isinstance(job, Backfill | Redrive):
            record_unreadable(text, UPKEEP_QUEUE, TRIED_OUT, services.journal)
        else:
            logs.error("task.dropped", task=job.kind, error=TRIED_OUT)


def record_unreadable(text: str, queue: str, problem: str, journal: Journal) -> None:
    """Record a message that this version cannot parse; the same text is recorded once."""
    now, sha256 = times.now(), hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
    content, safe_text = _parse(text)
    kind, version = content.get("kind"), content.get("version")
    buried = DeadLetter(
        queue,
        kind if isinstance(kind, str) and _KIND.match(kind) else None,
        version if type(version) is int and version >= 0 else None,
        sha256,
        safe_text,
    )
    signal_id = f"msg-{sha256[:32]}"
    new = Record(
        signal_id, Result.FAILED, now, 0, AttemptSeries(now), settled=now, last_error=problem, buried=buried
    )
    # Written even if it exists: a redrive that has just sent the message is about to delete the old record.
    record, _ = journal.ledger.update(signal_id, lambda old: old or new, new_commit("buried"))
    if record:
        journal.follow([record])
        logs.error("message.buried", signal=signal_id, outcome=Result.FAILED, queue=queue, error=problem)


def _record_failed(message: Message, journal: Journal, window: int) -> None:
    stored = journal.ledger.read(message.signal_id)
    record = merge.record_for_attempt(message, stored.record if stored else None, times.now())
    if record is None:
        if stored:
            journal.follow([stored.record])
        return
    now, attempt = times.now(), record.attempt + 1
    closed = record.first_seen + timedelta(seconds=window)
    next_look = backoff.look_again(max(closed, now), now)
    new = replace(
        record,
        result=Result.FAILED,
        attempt=attempt,
        settled=now,
        next=NextAttempt(attempt, next_look, Purpose.LOOK) if next_look else None,
        last_error=TRIED_OUT,
    )
    change = partial(merge.merge_attempt, new=new, attempt=record.attempt)
    current, _ = journal.ledger.update(
        record.signal_id, change, new_commit("buried", result=Result.FAILED), stored
    )
    if current:
        journal.follow([current])
        logs.error("signal.buried", attempt=attempt, outcome=current.result, error=TRIED_OUT)


def _parse(text: str) -> tuple[dict[str, Any], str]:
    """Parse the message, and remove validation tokens and ciphertext from its text.

    Anything but a JSON object parses as {}.
    """
    has_secrets = False

    def without_secrets(content: dict[str, Any]) -> dict[str, Any]:
        nonlocal has_secrets
        safe = {key: value for key, value in content.items() if key not in _SECRETS}
        has_secrets |= len(safe) < len(content)
        return safe

    try:
        content = json.loads(text, object_hook=without_secrets)
        safe_text = json.dumps(content) if has_secrets else text
    except (ValueError, RecursionError):  # not JSON, or nested too deep to be written again
        content, safe_text = None, "" if has_secrets or any(name in text for name in _SECRETS) else text
    return content if isinstance(content, dict) else {}, safe_text
