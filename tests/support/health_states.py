"""Containers with prepared state for health, without the functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, cast
from uuid import uuid4

from azure.storage.blob import BlobServiceClient

from local.stack.compose import Stack
from shared import times
from shared.days import manifests
from shared.days.delays import Delays, Percentiles
from shared.days.manifests import Manifest
from shared.storage.clients import Queue
from shared.storage.scans import FULL, RECENT, Scan, ScanStore, StoredScan
from shared.storage.state import StateStore
from tests.support.front import NEVER

HOSTILE = "<script>alert('x')</script><img src=https://outside.example/x.png>\"'&"
ORGANIZER = "0a0b0c0d-0000-4000-8000-{:012d}"
CURE = (
    "Grant an application access policy to the organizer: Grant-CsApplicationAccessPolicy -PolicyName "
    "AttendanceReports -Identity {}"
)

DELAYS = Delays(
    340, Percentiles(1_690, 4_320, 7_980), Percentiles(4, 191, 7_240), Percentiles(1_720, 4_580, 12_600)
)


@dataclass(frozen=True)
class World:
    """Two containers, and the app settings for them."""

    service: BlobServiceClient
    host: BlobServiceClient
    settings: Mapping[str, str]
    changes: Mapping[str, str]

    @property
    def container(self) -> str:
        return self.settings["ATTENDANCE_CONTAINER"]

    @property
    def state(self) -> StateStore:
        return StateStore(self.host.get_container_client(f"{self.container}-state"))

    def empty(self) -> None:
        """As the deployment leaves them."""
        for container in (
            self.service.get_container_client(self.container),
            self.host.get_container_client(f"{self.container}-state"),
        ):
            for names in batched(container.list_blob_names(), 256, strict=False):
                container.delete_blobs(*names)

    def beat(self, name: str, ago: timedelta, **fields: object) -> None:
        """A sign of life: `heartbeat/<name>.json`."""
        self.state.put(f"heartbeat/{name}.json", {"at": times.text(times.now() - ago), **fields})

    def look(self, name: str, ago: timedelta, *, finished: bool = True, **fields: Any) -> None:
        """A look of the sweep that began so long ago."""
        start = times.now() - ago
        look = Scan(name, start, start - timedelta(hours=6), start, next=start, **fields)
        look = Scan(**{**vars(look), "finished": start + timedelta(seconds=9) if finished else None})
        entry = self.state.read(f"sweep/{name}.json")
        assert ScanStore(self.state, cast(Queue, None)).save(look, StoredScan(look, cast(Any, entry)))

    def day(self, back: int, outcomes: Mapping[str, int], *, complete: bool, **fields: Any) -> None:
        """The manifest of the day `back` days ago."""
        day, now = times.now().date() - timedelta(days=back), times.now()
        known: dict[str, Any] = {"reports": outcomes.get("stored", 0), "oldest_pending": None, **fields}
        manifest = Manifest(day, complete, int(complete), outcomes, updated=now, **known)
        container = self.service.get_container_client(self.container)
        name = f"manifests/date={day.isoformat()}/manifest.json"
        container.upload_blob(name, manifests.serialize_manifest(manifest), overwrite=True)

    def deny(self, count: int) -> None:
        """So many organizers without access."""
        since = times.text(datetime(2026, 11, 1, tzinfo=UTC))
        for number in range(count):
            organizer = ORGANIZER.format(number)
            fields = {"organizerId": organizer, "since": since, "cure": CURE.format(organizer)}
            self.state.put(f"access/{organizer}.json", fields)

    def alive(self) -> None:
        """All is as it should be on a busy day."""
        self.beat("notification", timedelta(minutes=3))
        self.beat("report", timedelta(minutes=41))
        self.beat("maintenance", timedelta(minutes=11), problems=[])
        self.look(RECENT, timedelta(minutes=50), records=412, missing=0)
        self.look(FULL, timedelta(hours=9), records=48_113, missing=3)
        for back, signals in enumerate((230, 1480, 1320, 0, 60, 1610, 1570, 1490, 1280, 1350, 20, 75)):
            stored, pending = signals * 7 // 10, 12 if back < 2 else 0
            counts = {"stored": stored, "notAMeeting": signals - stored, "pending": pending}
            outcomes = {outcome: count for outcome, count in counts.items() if count}
            oldest = times.now() - timedelta(hours=2) if pending else None
            delays = DELAYS if stored else None
            self.day(back, outcomes, complete=back > 1, oldest_pending=oldest, delays=delays)

    def ill(self) -> None:
        """Much is wrong; what comes from outside tries to be markup."""
        self.alive()
        first = times.text(times.now() - timedelta(days=2))
        ours = {"at": times.text(times.now()), "subscription": HOSTILE}
        self.beat("refused", timedelta(minutes=5), first=first, count=1_204, ours=ours)
        self.beat("maintenance", timedelta(minutes=11), problems=[f"POST subscriptions: {HOSTILE}"])
        self.look(
            RECENT, timedelta(hours=9), finished=False, records=180, missing=7, error=f"list: {HOSTILE}"
        )
        self.look(FULL, timedelta(hours=33), records=48_113, missing=3)
        self.day(5, {"stored": 900, "failed": 31, "accessDenied": 22}, complete=True)
        stuck = times.now() - timedelta(days=6)
        self.day(6, {"stored": 800, "pending": 3, "failed": 1}, complete=False, oldest_pending=stuck)
        self.deny(60)


@contextmanager
def world(stack: Stack) -> Iterator[World]:
    """Containers of one test in the stack's accounts, untouched by timers."""
    name = f"health-{uuid4().hex[:12]}"
    changes = {"ATTENDANCE_CONTAINER": name, "MAINTAIN_SCHEDULE": NEVER, "SWEEP_SCHEDULE": NEVER}
    service, host = stack.blob_service(), stack.state_service()
    data, state = service.create_container(name), host.create_container(f"{name}-state")
    try:
        yield World(service, host, {**stack.settings, **changes}, changes)
    finally:
        data.delete_container()
        state.delete_container()
