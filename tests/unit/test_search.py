"""The search of the health page: what it finds, what it refuses, and what it does not show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote, urlencode

import pytest
from azure.storage.blob import ContainerClient

from shared.health import readings, search
from shared.health.endpoint import HealthResponse
from shared.health.lookup import build_lookup
from shared.storage import clients
from shared.storage.scans import ScanStore
from shared.storage.state import StateStore
from tests.support.app_settings import ENVIRON
from tests.support.simulated_app import HOUR, NOW, ORGANIZER, App, call, running
from tests.unit.test_lookup import archive, at, give_subject, guid, link

SUBJECT = "Layoffs <b>& more</b>"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An app with one meeting, and the connections of its health page."""
    with running() as app:
        state = cast(ContainerClient, app.state)
        store = StateStore(state)
        sources = SimpleNamespace(
            lookup=build_lookup(cast(ContainerClient, app.container), state),
            state=store,
            scans=ScanStore(store, cast(clients.Queue, app.queues[clients.UPKEEP_QUEUE])),
        )
        monkeypatch.setattr(readings, "app_sources", lambda _: sources)
        archive(app, at(call(guid(1), NOW - HOUR), link(ORGANIZER)))
        give_subject(app, guid(1), {"subject": SUBJECT})
        yield app


def find(text: str, **environ: str) -> HealthResponse:
    """Search as the page's form does."""
    return search.respond({**ENVIRON, **environ}, urlencode({"meeting": text}).encode())


@pytest.mark.parametrize("text", [link(ORGANIZER), f" {link(ORGANIZER).upper()} ", guid(1), f"cr-{guid(1)}"])
@pytest.mark.usefixtures("app")
def test_a_meeting_is_explained_by_its_link_or_id_without_its_subject_and_link(text: str) -> None:
    found = find(text)
    assert (found.status, found.mimetype) == (200, "text/html")
    assert "<h1>One meeting found</h1>" in found.text
    assert "The report is stored." in found.text
    assert f"<code>attendance reports show {guid(1)}</code>" in found.text
    assert "Layoffs" not in found.text
    assert "teams.microsoft.com" not in found.text.lower()
    assert found.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "text",
    ["Layoffs", "Layoffs <b>& more</b>", "cr-../../denied/x", f"cr-{guid(1)}/..", f"<b>{guid(1)}"],
)
@pytest.mark.usefixtures("app")
def test_a_subject_or_a_path_is_searched_for_nowhere(text: str) -> None:
    refused = find(text)
    assert refused.status == 400
    assert "neither a link nor the id of a signal, call or report" in refused.text
    assert text not in refused.text.partition("</style>")[2]


@pytest.mark.usefixtures("app")
def test_an_organizers_meetings_are_not_listed() -> None:
    unknown = find(ORGANIZER)
    assert unknown.status == 200
    assert "The app knows of no such meeting" in unknown.text
    assert guid(1) not in unknown.text


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "Give a meeting"),
        (b"meeting=+", "Give a meeting"),
        (b"other=1", "Give a meeting"),
        ("meeting=é".encode(), "Give a meeting"),
        (b"a=1&b=2&c=3&d=4&e=5&meeting=x", "Give a meeting"),
        (b"meeting=" + b"x" * 4_001, "longer than 4,000"),
        (b"meeting=" + b"x" * 1_000_000, "longer than 4,000"),
    ],
)
def test_a_form_that_names_no_meeting_is_refused(body: bytes, problem: str) -> None:
    refused = search.respond(ENVIRON, body)
    assert refused.status == 400
    assert problem in refused.text


def test_a_wrong_setting_is_named() -> None:
    wrong = find(guid(1), TENANT_ID="contoso")
    assert wrong.status == 503
    assert "TENANT_ID" in wrong.text


def test_the_longest_link_may_be_encoded() -> None:
    text = ("https://teams.microsoft.com/" + "王" * 4_000)[:4_000]
    assert search._find_fault(search._parse_form(f"meeting={quote(text)}".encode())) == ""


def test_an_outage_is_an_answer_and_a_search_that_hangs_holds_up_two_at_most(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()

    def wait(_: str) -> None:
        hang.wait(60)
        raise OSError

    sources = SimpleNamespace(lookup=SimpleNamespace(find=wait))
    monkeypatch.setattr(readings, "app_sources", lambda _: sources)
    monkeypatch.setattr(search, "SECONDS", 0.05)
    first, second = find(guid(1)), find(guid(1))
    assert (first.status, second.status) == (503, 503)
    assert "The search failed: no answer in time." in second.text
    monkeypatch.setattr(search, "SECONDS", 20.0)
    assert "Other searches are running" in find(guid(1)).text
    hang.set()
    for _ in range(2):
        assert search._SEARCHES.acquire(timeout=20)
    for _ in range(2):
        search._SEARCHES.release()
    assert "The search failed: OSError." in find(guid(1)).text
