"""Persons who are erased in the middle of a run, and the search for whatever still names them.

The search knows none of the product's rules: it looks for a person's object id, address and meetings in the name, the
metadata and the content of every blob, however they are packed or encoded.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

from azure.storage.blob import ContainerClient

from local.stack.compose import Stack
from shared.cli.erasure.erase import Erasure
from shared.cli.session import Session
from shared.privacy.erasures import ErasureKey
from shared.privacy.person import Person as ErasedPerson
from shared.storage.clients import UPKEEP_QUEUE, Queue
from shared.storage.state import StateStore
from tests.support.parquet import rows_of

READERS = 8
MOST_TOLD = 20
ORGANIZER = "Organizer"
TENANT = "@contoso.example"
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")


@dataclass(frozen=True)
class Person:
    """A user of the tenant."""

    id: str
    address: str

    def is_in(self, record: Mapping[str, Any]) -> bool:
        """Whether an attendance record of Graph is the person's."""
        return record.get("id") == self.id or (record.get("emailAddress") or "").lower() == self.address


def choose(truth: Mapping[str, Any], count: int) -> list[Person]:
    """The users who attended most, the first of them an organizer."""
    times: Counter[Person] = Counter()
    organized: Counter[Person] = Counter()
    for report in truth.values():
        for record in report["attendanceRecords"]:
            address = (record.get("emailAddress") or "").lower()
            if address.endswith(TENANT):
                person = Person(record["id"], address)
                times[person] += 1
                organized[person] += record["role"] == ORGANIZER
    first = max(organized, key=lambda each: (organized[each], each.id))
    others = sorted(times.keys() - {first}, key=lambda each: (-times[each], each.id))
    return [first, *others[: count - 1]]


def erasure_of(running: Stack, person: Person) -> Erasure:
    """The command's erasure of a person."""
    container = running.state_service().get_container_client(f"{running.container}-state")
    session = SimpleNamespace(
        container=running.blob_service().get_container_client(running.container),
        state_container=container,
        state=StateStore(container),
        upkeep=Queue(running.queue_service(), UPKEEP_QUEUE),
        settings=SimpleNamespace(retention_days=0),
    )
    key = running.settings["ERASURE_KEY"]
    who = ErasedPerson(frozenset({person.id, person.address}))
    return Erasure(cast(Session, session), who, ErasureKey(key), key)


def without(report: Mapping[str, Any], persons: Collection[Person]) -> dict[str, Any]:
    """A report as it must be when these persons are erased; ids of their records are not compared."""
    records = [_redacted(each) if _is_any(each, persons) else each for each in report["attendanceRecords"]]
    return {**report, "attendanceRecords": records}


def comparable(
    stored: Mapping[str, Any], truth: Mapping[str, Any], persons: Collection[Person]
) -> dict[str, Any]:
    """A stored report without the ids that stand for erased persons."""
    pairs = zip(stored.get("attendanceRecords", []), truth["attendanceRecords"], strict=False)
    records = [{**own, "id": None} if _is_any(true, persons) else own for own, true in pairs]
    rest = stored.get("attendanceRecords", [])[len(records) :]
    return {**stored, "attendanceRecords": [*records, *rest]}


def _is_any(record: Mapping[str, Any], persons: Collection[Person]) -> bool:
    return any(person.is_in(record) for person in persons)


def _redacted(record: Mapping[str, Any]) -> dict[str, Any]:
    identity = {"@odata.type": record["identity"]["@odata.type"], "id": None, "displayName": None}
    kept = {name: record[name] for name in ("role", "totalAttendanceInSeconds", "attendanceIntervals")}
    nothing = dict.fromkeys(("id", "emailAddress", "registrationId"))
    return {**nothing, "identity": identity, **kept}


def problems(containers: Iterable[ContainerClient], persons: Collection[Person]) -> list[str]:
    """The blobs that still name one of these persons."""
    words = {each.id: number for number, each in enumerate(persons)}
    words |= {each.address: number for number, each in enumerate(persons)}
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(each)}(?!\w)" for each in words))
    found: list[str] = []
    for container in containers:
        names = [name for name in container.list_blob_names() if not name.startswith("erasures/")]

        def search(name: str, container: ContainerClient = container) -> str:
            met = pattern.search(_text(container, name)) if words else None
            return f"{name} names erased person {words[met[0]] + 1}" if met else ""

        with ThreadPoolExecutor(READERS) as readers:
            found += filter(None, readers.map(search, names))
    return found[:MOST_TOLD]


def _text(container: ContainerClient, name: str) -> str:
    """All that a blob says, in lower case."""
    download = container.download_blob(name)
    body = download.readall()
    if name.endswith(".parquet"):
        body = json.dumps(rows_of(body), default=str, ensure_ascii=False).encode()
    elif name.endswith(".gz"):
        body = gzip.decompress(body)
    text = unquote(f"{name} {download.properties.metadata} {body.decode(errors='replace')}")
    return " ".join([text, *_decoded(text)]).lower()


def _decoded(text: str) -> Iterator[str]:
    """What stands in a text as base64, as the organizer's id in that of a meeting."""
    for found in set(_ENCODED.findall(text)):
        plain = found.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("ascii", "replace")
        except ValueError:
            continue
