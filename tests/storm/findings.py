"""The archive compared with Graph: missing, duplicate and wrong reports.

Reads the container as a consumer does, and none of the product's code.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from tests.storm import erased
from tests.storm.ended_meetings import Call
from tests.storm.erased import Person
from tests.support.measured import Times, percentiles

READERS = 4
NEXT = "nextattempt"  # in the metadata of an outcome
SOON = timedelta(hours=1)  # what comes later is a look of another day
SEALING = timedelta(hours=3)  # from the end of the day and of the window on


@dataclass(frozen=True)
class Filed:
    """An outcome in a listing; `is_open`: another attempt runs or is due."""

    name: str
    outcome: str
    is_open: bool
    looked_at_again: bool  # at some time


type Outcomes = Mapping[str, list[Filed]]
type Reports = Mapping[str, list[str]]


def outcomes(container: ContainerClient) -> Outcomes:
    """The outcomes of every signal, by its id."""
    found: dict[str, list[Filed]] = defaultdict(list)
    soon = datetime.now(UTC) + SOON
    for blob in container.list_blobs(name_starts_with="outcomes/", include=["metadata"]):
        told = blob.metadata or {}
        outcome = told.get("outcome", "")
        following = told.get(NEXT)
        is_open = outcome == "pending" or (following is not None and datetime.fromisoformat(following) < soon)
        found[_id(blob.name)].append(Filed(blob.name, outcome, is_open, following is not None))
    return found


def reports(container: ContainerClient) -> Reports:
    """The names of the blobs that hold each report, by its id."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in container.list_blob_names(name_starts_with="reports/"):
        found[_id(name)].append(name)
    return found


def make_due(container: ContainerClient, state: ContainerClient, filed: Iterable[Filed]) -> int:
    """As if the days had passed until each of these outcomes is looked at again.

    How many there are.

    The outcome tells the sweep, and the record behind it, in the container `state`, decides. An outcome that its record
    contradicts is left as it is, for the comparison at the end.
    """
    past, made = (datetime.now(UTC) - timedelta(days=1)).isoformat(), 0
    for name in [each.name for each in filed if each.looked_at_again]:
        record = f"signals/{PurePosixPath(name).name}"
        content = json.loads(_text(state, record))
        if not content.get("next"):
            continue
        content["next"]["at"] = past
        made += 1
        state.upload_blob(record, json.dumps(content), overwrite=True)
        blob = container.get_blob_client(name)
        blob.set_blob_metadata((blob.get_blob_properties().metadata or {}) | {NEXT: past})
    return made


@dataclass(frozen=True)
class Findings:
    """The comparison: problems as sentences, and outcomes by kind of meeting."""

    stored: int
    missing: list[str]
    doubled: list[str]
    wrong: list[str]
    outcomes: dict[str, dict[str, int]]
    unexpected: list[str]


@dataclass(frozen=True)
class Lags:
    """Seconds until a report was first stored.

    From the news of announced calls, from the sweep's sight of the others, and from the end of calls that had just
    ended, whose news came later.
    """

    from_news: Times
    from_sight: Times
    from_end: Times


def lags(container: ContainerClient, calls: Iterable[Call]) -> Lags:
    """How long it took until the reports of `calls` were stored, as the outcomes say."""
    known = {call.signal_id: call for call in calls}
    news, sights, ends = list[float](), list[float](), list[float]()
    for blob in container.list_blobs(name_starts_with="outcomes/", include=["metadata"]):
        told, call = blob.metadata or {}, known.get(_id(blob.name))
        if call is None or not {"stored", "firstseen"} <= told.keys():
            continue
        seen, stored = (datetime.fromisoformat(told[name]) for name in ("firstseen", "stored"))
        (news if call.announced else sights).append((stored - seen).total_seconds())
        if call.is_fresh and call.announced and "end" in told:
            ends.append((stored - datetime.fromisoformat(told["end"])).total_seconds())
    return Lags(percentiles(news), percentiles(sights), percentiles(ends))


def wanted(calls: Iterable[Call]) -> dict[str, Call]:
    """The calls that have a report which the app can get, by its id."""
    return {call.report_id: call for call in calls if call.expected == "stored"}


def compare(
    container: ContainerClient, calls: list[Call], truth: Mapping[str, Any], gone: Collection[Person] = ()
) -> Findings:
    """What became of `calls`; `truth` holds every complete report by id, `gone` are the persons who were erased."""
    filed, stored, expected = outcomes(container), reports(container), wanted(calls)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    unexpected = []
    for call in calls:
        for seen in {each.outcome for each in filed.get(call.signal_id, [])} or {"none"}:
            counts[call.kind][seen] += 1
            if seen != call.expected:
                unexpected.append(f"{call.kind}: {call.signal_id} is {seen}, not {call.expected}")
    everything = {**stored, **{signal: [each.name for each in many] for signal, many in filed.items()}}
    return Findings(
        stored=len(stored.keys() & expected.keys()),
        missing=[f"{call.kind}: report {each}" for each, call in expected.items() if each not in stored],
        doubled=[f"{each}: {' and '.join(names)}" for each, names in everything.items() if len(names) > 1],
        wrong=[f"{name} is not what Graph has" for name in _wrong(container, stored, expected, truth, gone)],
        outcomes={kind: dict(seen) for kind, seen in counts.items()},
        unexpected=unexpected,
    )


def manifest_problems(container: ContainerClient, window: timedelta) -> tuple[int, list[str]]:
    """The number of past days, and manifests that differ from the blobs.

    `window`: the app's RETRY_WINDOW. Every day without an open outcome must be complete once it can be.
    """
    counts: dict[date, Counter[str]] = defaultdict(Counter)
    paths: dict[date, set[str]] = defaultdict(set)
    for filed in outcomes(container).values():
        counts[_day(filed[0].name)][filed[0].outcome] += 1
    for names in reports(container).values():
        paths[_day(names[0])].add(names[0])
    now = datetime.now(UTC)
    past = sorted(day for day in counts if day < now.date())
    today = json.loads(_text(container, f"manifests/date={now.date()}/manifest.json") or "{}")
    problems = [f"manifests/date={now.date()} is complete before its end"] if today.get("complete") else []
    for day in past:
        folder = f"manifests/date={day.isoformat()}"
        manifest = json.loads(_text(container, f"{folder}/manifest.json") or "{}")
        lines = _text(container, f"{folder}/reports.jsonl").splitlines()
        listed = {json.loads(line)["path"] for line in lines}
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        told = {
            "complete": (manifest.get("complete"), now >= end + window + SEALING),
            "outcomes": (manifest.get("outcomes"), dict(counts[day])),
            "reports": (manifest.get("reports"), len(paths[day])),
            "lines in reports.jsonl": (len(lines), len(paths[day])),
            "reports that it does not name": (len(paths[day] - listed), 0),
        }
        problems += [
            f"{folder}: {name}: {value}, not {true}" for name, (value, true) in told.items() if value != true
        ]
    return len(past), problems


def today() -> date:
    """The day that it is, in UTC."""
    return datetime.now(UTC).date()


def unsealed(container: ContainerClient, window: timedelta) -> list[date]:
    """The days that could be complete, and are not."""
    found = {_day(name) for name in container.list_blob_names(name_starts_with="outcomes/")}
    due = datetime.now(UTC) - window - SEALING - timedelta(days=1)
    days = [day for day in found if datetime(day.year, day.month, day.day, tzinfo=UTC) <= due]
    manifests = {day: _text(container, f"manifests/date={day}/manifest.json") for day in days}
    return [day for day, text in manifests.items() if not json.loads(text or "{}").get("complete")]


def _wrong(
    container: ContainerClient,
    stored: Reports,
    expected: Mapping[str, Call],
    truth: Mapping[str, Any],
    gone: Collection[Person],
) -> list[str]:
    def differs(name: str) -> bool:
        body = json.loads(container.download_blob(name).readall())
        report_id = _id(name)
        if report_id not in expected or _is_of_another_day(name, body):
            return True
        true = truth[report_id]
        return _plain(erased.comparable(body, true, gone)) != _plain(erased.without(true, gone))

    names = [name for many in stored.values() for name in many]
    with ThreadPoolExecutor(READERS) as readers:
        return [name for name, wrong in zip(names, readers.map(differs, names), strict=True) if wrong]


def _is_of_another_day(name: str, report: Mapping[str, Any]) -> bool:
    """Whether a report lies in another day than that of its meeting's end."""
    end = report.get("meetingEndDateTime")
    return end is not None and datetime.fromisoformat(end).astimezone(UTC).date() != _day(name)


def _plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without the annotations that depend on how it was asked for."""
    return {name: value for name, value in report.items() if "@odata." not in name}


def _id(name: str) -> str:
    return PurePosixPath(name).stem


def _day(name: str) -> date:
    return date.fromisoformat(name.split("/")[1].removeprefix("date="))


def _text(container: ContainerClient, name: str) -> str:
    try:
        return str(container.download_blob(name, encoding="utf-8").readall())
    except ResourceNotFoundError:
        return ""
