"""Health as JSON: problems, warnings, hanging peers, and cost."""

import inspect
import logging
import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from function_app import app
from local.simulator.faults.responses import Fault
from local.stack.compose import Stack
from shared import times
from shared.health import endpoint
from shared.settings import fingerprint
from shared.storage.scans import FULL, RECENT
from tests.support.app_settings import STATE
from tests.support.front import Front, own_stack
from tests.support.health_states import ORGANIZER, World, world

stack = own_stack()

CLOSED = "https://127.0.0.1:9/attendancehost"
POISON = "upkeep-poison"


@pytest.fixture(scope="module")
def containers(stack: Stack) -> Iterator[World]:
    """The containers of all tests here, so that health keeps its connections."""
    with world(stack) as made:
        yield made
    control = Front(stack).control
    for each in control.subscriptions():
        control.remove_subscription(each["id"])


@pytest.fixture
def front(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A stack with a subscription, and this process as one that runs in its place."""
    for name, value in stack.settings.items():
        monkeypatch.setenv(name, value)
    front = Front(stack)
    if not front.control.subscriptions():
        front.subscribe()
    yield front
    front.control.clear_faults()


@pytest.fixture
def fresh(front: Front, containers: World) -> World:
    """What a new deployment has: nothing."""
    containers.empty()
    return containers


@pytest.fixture
def busy(fresh: World) -> World:
    """A deployment in which all is well."""
    fresh.alive()
    return fresh


def told(made: World, **settings: str) -> dict[str, Any]:
    """The JSON of health."""
    return endpoint.health_json(endpoint.build_report({**made.settings, **settings}))


def the_problem(made: World, **settings: str) -> str:
    """The one problem there is."""
    (problem,) = told(made, **settings)["problems"]
    assert isinstance(problem, str)
    return problem


class TestWhenAllIsWell:
    def test_it_tells_what_there_is(self, busy: World) -> None:
        busy.beat("refused", timedelta(days=3), first="2026-11-01T00:00:00.000Z", count=2)
        report = told(busy)
        assert (report["healthy"], report["problems"], report["warnings"]) == (True, (), ())
        assert report["subscriptions"][0]["state"] == "active"
        assert times.parse(report["subscriptions"][0]["expires"])
        assert times.parse(report["lastNotification"])
        assert times.parse(report["lastReport"])
        assert times.parse(report["oldestPending"])
        assert report["refused"]["first"] == "2026-11-01T00:00:00.000Z"
        assert report["refused"]["count"] == 2
        assert set(report["queues"].values()) == {0}
        assert report["sweep"]["full"]["records"] == 48_113
        assert report["maintenance"]["problems"] == ()
        assert report["denied"] == {"count": 0, "organizers": []}

    def test_the_last_14_days_are_there_the_oldest_first(self, busy: World) -> None:
        days = told(busy)["days"]
        today = times.now().date()
        assert [day["date"] for day in days] == [
            (today - timedelta(days=back)).isoformat() for back in reversed(range(14))
        ]
        assert [day["known"] for day in days] == [False] * 2 + [True] * 12
        assert [day["complete"] for day in days] == [False] * 2 + [True] * 10 + [False] * 2
        assert days[-1]["outcomes"] == {"stored": 161, "notAMeeting": 69, "pending": 12}
        assert days[-1]["reports"] == 161
        assert days[-2]["delays"]["endToStored"] == {"p50": 1_720, "p95": 4_580, "p99": 12_600}
        assert days[-4]["delays"] is days[0]["delays"] is None

    def test_nothing_secret_is_told(self, busy: World) -> None:
        for accept in ("application/json", "text/html"):
            assert busy.settings["CLIENT_STATE"] not in endpoint.respond(busy.settings, accept).text


def test_a_new_deployment_warns_that_nothing_ran_yet(fresh: World) -> None:
    report = told(fresh)
    assert report["healthy"] is True
    assert [warning.split(".")[0] for warning in report["warnings"]] == [
        "The reconciliation scan has not run yet"
    ]
    assert report["lastNotification"] is report["lastReport"] is report["refused"] is None
    assert report["oldestPending"] is report["maintenance"] is None
    assert report["sweep"] == {"recent": None, "full": None}


class TestSubscriptions:
    @pytest.fixture
    def front(self, front: Front) -> Iterator[Front]:
        yield front
        for each in front.control.subscriptions():
            front.control.remove_subscription(each["id"])

    def test_one_that_is_missing_is_a_problem(self, front: Front, fresh: World) -> None:
        for each in front.control.subscriptions():
            front.control.remove_subscription(each["id"])
        assert "is missing" in the_problem(fresh)
        fresh.beat("maintenance", timedelta(minutes=1), problems=["It was refused."])
        assert "It was refused." in the_problem(fresh)
        fresh.beat("maintenance", timedelta(minutes=1), problems=["It was refused."], validation="Forbidden")
        problem = the_problem(fresh)
        assert "The webhooks are closed to Graph, whose validation handshake failed: Forbidden." in problem
        assert "public DNS" in problem
        assert "It was refused." not in problem
        assert told(fresh)["subscriptions"] == [
            {"id": None, "resource": "communications/callRecords", "expires": None, "state": "missing"}
        ]

    def test_one_at_another_address_is_told_from_none(self, front: Front, busy: World) -> None:
        (each,) = front.control.subscriptions()
        front.control.change_subscription(
            each["id"], notificationUrl="https://other.example/api/notifications"
        )
        assert "at another address" in the_problem(busy)

    def test_one_with_another_client_state_is_a_problem(self, busy: World) -> None:
        assert "clientState" in the_problem(busy, CLIENT_STATE=STATE)
        assert told(busy, CLIENT_STATE=STATE)["subscriptions"][0]["state"] == "notAccepted"

    def test_one_with_the_previous_client_state_is_none(self, busy: World) -> None:
        before = busy.settings["CLIENT_STATE"]
        report = told(busy, CLIENT_STATE=STATE, CLIENT_STATE_PREVIOUS=before)
        assert report["healthy"] is True

    def test_a_renewal_that_is_overdue_is_a_warning(self, front: Front, busy: World) -> None:
        (each,) = front.control.subscriptions()
        soon = (times.now() + timedelta(hours=20)).isoformat()
        front.control.change_subscription(each["id"], expiration=soon)
        report = told(busy)
        assert report["healthy"] is True
        assert ["is overdue for renewal" in warning for warning in report["warnings"]] == [True]
        assert report["subscriptions"][0]["state"] == "renewalOverdue"

    def test_one_that_expired_is_a_problem(self, front: Front, busy: World) -> None:
        """Graph still lists it for a while."""
        item = {
            "id": "c0ffee00-0000-4000-8000-000000000003",
            "resource": "communications/callRecords",
            "changeType": "created",
            "notificationUrl": f"{front.url}/notifications?k={fingerprint(busy.settings['CLIENT_STATE'])}",
            "lifecycleNotificationUrl": f"{front.url}/lifecycle",
            "expirationDateTime": "2026-11-01T00:00:00Z",
        }
        front.control.add_fault(Fault("/subscriptions$", status=200, body={"value": [item]}))
        assert "expired at 2026-11-01 00:00 UTC" in the_problem(busy)


class TestGraph:
    def test_a_refusal_names_the_permission(self, front: Front, busy: World) -> None:
        front.control.add_fault(Fault("/subscriptions$", status=403))
        assert "CallRecords.Read.All" in the_problem(busy)
        front.control.add_fault(Fault("/subscriptions$", status=403))
        assert told(busy)["subscriptions"] is None

    def test_one_that_hangs_holds_nobody_up(self, front: Front, busy: World) -> None:
        front.control.add_fault(Fault("/subscriptions$", action="hang"))
        assert "Graph did not answer in time" in the_problem(busy)

    def test_no_token_names_the_identity(self, busy: World) -> None:
        unknown = "00000000-0000-4000-8000-000000000000"
        problem = the_problem(busy, AZURE_CLIENT_ID=unknown)
        assert problem.startswith("The list of subscriptions cannot be read (get a token: ")
        assert "AZURE_CLIENT_ID" in problem
        for account in ("AttendanceStorage", "AzureWebJobsStorage"):
            report = told(busy, AZURE_CLIENT_ID=unknown, **{f"{account}__clientId": ""})
            (problem,) = report["problems"]  # the cause of all, Graph's included
            assert problem.startswith(
                "There is no token for storage (ClientAuthenticationError). Assign the managed"
            )


class TestNotifications:
    def test_a_strangers_client_state_of_the_last_24_hours_is_a_warning(self, busy: World) -> None:
        first = times.text(times.now() - timedelta(days=9))
        busy.beat("refused", timedelta(hours=23), first=first, count=1_204)
        report = told(busy)
        assert report["healthy"] is True
        assert any(
            "1,204 notifications with a wrong clientState since" in each for each in report["warnings"]
        )
        busy.beat("refused", timedelta(hours=25), first=first, count=1_204)
        assert not any("clientState" in each for each in told(busy)["warnings"])

    def test_a_wrong_client_state_of_our_own_subscription_is_a_problem(self, busy: World) -> None:
        for hours, is_healthy in ((23, False), (25, True)):
            at = times.text(times.now() - timedelta(hours=hours))
            busy.beat("refused", timedelta(hours=1), count=7, ours={"at": at, "subscription": "s-1"})
            assert told(busy)["healthy"] is is_healthy
        busy.beat(
            "refused",
            timedelta(hours=1),
            count=7,
            ours={"at": times.text(times.now()), "subscription": "s-1"},
        )
        assert "notifications of subscription s-1 with a clientState" in the_problem(busy)


class TestStorage:
    def test_a_poison_queue_that_is_not_empty_is_a_problem(self, front: Front, busy: World) -> None:
        queue = front.stack.queue_service().get_queue_client(POISON)
        queue.send_message("e30=")
        try:
            assert f"Queue {POISON} holds 1 message " in the_problem(busy)
            assert told(busy)["queues"][POISON] == 1
        finally:
            queue.clear_messages()

    def test_a_container_that_is_missing_is_a_problem(self, front: Front, busy: World) -> None:
        report = told(busy, ATTENDANCE_CONTAINER="never-made")
        assert report["checks"]["container never-made"] == "does not answer: ContainerNotFound"
        (problem,) = report["problems"]
        assert problem.startswith(
            "Storage has no container never-made and container never-made-state (ContainerNotFound). Deploy again"
        )

    def test_queues_that_do_not_answer_are_one_problem(self, busy: World) -> None:
        report = told(busy, AzureWebJobsStorage__queueServiceUri=CLOSED)
        (problem,) = report["problems"]
        assert problem.startswith(
            f"Storage does not answer (no connection): {CLOSED}. Check that the storage account"
        )
        assert {*report["queues"].values(), *report["waiting"].values()} == {None}

    def test_messages_that_wait_are_told_from_those_that_are_delayed(self, front: Front, busy: World) -> None:
        # The one queue from which no function of the running app takes messages.
        queue = front.stack.queue_service().get_queue_client("upkeep-poison")
        queue.clear_messages()
        for delay in (0, 0, 3_000):
            queue.send_message("e30=", visibility_timeout=delay)
        try:
            report = told(busy)
            assert (report["queues"][queue.queue_name], report["waiting"][queue.queue_name]) == (3, 2)
        finally:
            queue.clear_messages()

    def test_storage_that_hangs_holds_nobody_up(self, busy: World) -> None:
        """It takes connections and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"https://127.0.0.1:{silent.getsockname()[1]}/devstoreaccount1"
            report = told(
                busy,
                AzureWebJobsStorage__queueServiceUri=address,
                AzureWebJobsStorage__blobServiceUri=address,
                AttendanceStorage__blobServiceUri=address,
            )
        assert report["healthy"] is False
        (problem,) = report["problems"]
        assert problem.startswith(f"Storage does not answer (no answer in time): {address}.")
        assert report["warnings"] == ()  # nothing is said of what could not be read
        assert report["denied"] is None
        assert not any(answer == "answers" for answer in report["checks"].values())


class TestSweep:
    def test_no_look_for_three_hours_is_a_problem(self, busy: World) -> None:
        busy.look(RECENT, timedelta(hours=4), error="list call records: 503")
        assert "The last error was: list call records: 503." in the_problem(busy)

    def test_a_look_that_is_under_way_is_none(self, busy: World) -> None:
        busy.look(RECENT, timedelta(hours=1), finished=False)
        busy.look(FULL, timedelta(hours=7), finished=False)
        assert told(busy)["healthy"] is True

    def test_one_that_never_finishes_is_a_problem(self, fresh: World) -> None:
        fresh.look(RECENT, timedelta(hours=4), finished=False)
        assert "The reconciliation scan has not finished yet" in the_problem(fresh)

    def test_none_in_an_app_that_has_run_longer_is_a_problem(self, fresh: World) -> None:
        fresh.beat("notification", timedelta(hours=4))
        assert "The reconciliation scan has not finished yet" in the_problem(fresh)


class TestWarnings:
    def test_pending_for_longer_than_the_window(self, busy: World) -> None:
        long_ago = times.now() - timedelta(hours=28)
        busy.day(1, {"pending": 1}, complete=False, oldest_pending=long_ago)
        (warning,) = told(busy)["warnings"]
        assert warning.startswith(f"A signal has been pending since {times.format_utc(long_ago)}")
        assert told(busy, RETRY_WINDOW="172800")["warnings"] == ()

    def test_a_day_that_stays_open(self, busy: World) -> None:
        busy.day(3, {"stored": 1}, complete=False)
        assert told(busy)["warnings"] == ()
        busy.day(4, {"stored": 1}, complete=False)
        (warning,) = told(busy)["warnings"]
        assert (times.now().date() - timedelta(days=4)).isoformat() in warning

    def test_failed_outcomes_come_with_the_command_that_redrives_them(self, busy: World) -> None:
        busy.day(6, {"failed": 3}, complete=True)
        busy.day(8, {"failed": 1, "stored": 4}, complete=True)
        (warning,) = told(busy)["warnings"]
        first, last = (str(times.now().date() - timedelta(days=back)) for back in (8, 6))
        assert warning.startswith("4 signals of the last 14 days failed.")
        assert warning.endswith(f"attendance redrive --from {first} --to {last}")

    def test_organizers_without_access_are_listed_with_their_cures(self, busy: World) -> None:
        busy.deny(3)
        busy.state.put(
            "access/call-records.json", {"organizerId": None, "since": None, "cure": "Grant it to all."}
        )
        report = told(busy)
        (warning,) = report["warnings"]
        assert report["healthy"] is True
        assert "4 organizers" in warning
        assert report["denied"]["count"] == 4
        assert report["denied"]["organizers"][0] == {
            "organizerId": None,
            "since": None,
            "cure": "Grant it to all.",
            "retryAt": None,
        }
        assert report["denied"]["organizers"][1]["organizerId"] == ORGANIZER.format(0)

    def test_an_app_that_cannot_reach_its_own_address(self, busy: World) -> None:
        closed = "https://app.example/api/notifications answered 403, as an access restriction does"
        busy.beat("maintenance", timedelta(minutes=2), problems=[], ownHandshake=closed)
        report = told(busy)
        (warning,) = report["warnings"]
        assert report["healthy"] is True
        assert warning.startswith(f"The webhooks are closed to the app: {closed}. Graph has accepted their")

    def test_properties_that_nobody_knew(self, busy: World) -> None:
        busy.beat("properties", timedelta(days=13), properties=["attendanceRecords/mood", "weather"])
        (warning,) = told(busy)["warnings"]
        assert "attendanceRecords/mood, weather, the latest since " in warning
        busy.beat("properties", timedelta(days=15), properties=["weather"])
        assert told(busy)["warnings"] == ()

    def test_what_maintenance_could_not_do(self, busy: World) -> None:
        busy.beat("maintenance", timedelta(minutes=2), problems=["One was not deleted."])
        (warning,) = told(busy)["warnings"]
        assert warning.endswith("had problems: One was not deleted.")


def test_state_that_is_not_what_it_should_be_reads_as_none(busy: World) -> None:
    for name in ("notification", "report", "refused", "maintenance"):
        busy.state.put(f"heartbeat/{name}.json", {"at": 7, "problems": "x", "count": "y"})
    busy.state.put("sweep/recent.json", {"started": []})
    report = told(busy)
    assert report["lastNotification"] is report["refused"] is report["maintenance"] is None
    assert report["sweep"]["recent"] is None


class TestCost:
    """This process's requests to storage and Graph, from its HTTP client's log.

    Without those that are not made each time: a look into a queue that holds messages, and the list of erasures, which
    is read once a minute.
    """

    @pytest.fixture
    def requests_made(self, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
        name = "urllib3.connectionpool"
        made: list[str] = []

        class Counter(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                found = re.findall(r'"[A-Z]+ (/\S+) HTTP/1\.1" \d', record.getMessage())
                made.extend(each for each in found if not re.search(r"peekonly=|prefix=erasures", each))

        logger, handler = logging.getLogger(name), Counter()
        logger.addHandler(handler)
        caplog.set_level(logging.DEBUG, name)
        yield made
        logger.removeHandler(handler)

    def cost(self, made: World, requests_made: list[str]) -> tuple[int, int]:
        requests_made.clear()
        assert told(made)["checks"]

        def to(*roots: str) -> int:
            return sum(path.startswith(roots) for path in requests_made)

        data, host = (urlsplit(each.url).path.rstrip("/") for each in (made.service, made.host))
        return to(data, host), to("/v1.0/")

    def test_it_is_26_requests_to_storage_and_one_to_graph(
        self, fresh: World, requests_made: list[str]
    ) -> None:
        assert self.cost(fresh, requests_made) == (26, 1)

    def test_many_outcomes_and_reports_cost_nothing(self, busy: World, requests_made: list[str]) -> None:
        container = busy.service.get_container_client(busy.container)
        for number in range(200):
            for folder in ("outcomes", "reports"):
                container.upload_blob(f"{folder}/date={times.now().date()}/cr-{number}.json", b"{}")
        for number in range(50):
            busy.state.put(f"watch/{number}.json", {})
        assert self.cost(busy, requests_made) == (26, 1)

    def test_of_organizers_without_access_50_are_read(self, busy: World, requests_made: list[str]) -> None:
        busy.deny(70)
        assert self.cost(busy, requests_made) == (76, 1)
        report = told(busy)
        assert report["denied"]["count"] == 70
        assert len(report["denied"]["organizers"]) == 50


class TestOverHttp:
    BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/json", ""])
    def test_programs_get_json(self, front: Front, accept: str) -> None:
        answer = requests.get(f"{front.url}/health", headers={"Accept": accept}, timeout=30)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.status_code == (200 if answer.json()["healthy"] else 503)
        assert answer.json()["settings"]["TENANT_ID"] == front.stack.settings["TENANT_ID"]
        assert set(answer.json()["checks"].values()) == {"answers"}

    @pytest.mark.parametrize("accept", [BROWSER, "text/html", "TEXT/*;q=0.9, */*;q=0.1"])
    def test_browsers_get_a_page_that_may_load_nothing(self, front: Front, accept: str) -> None:
        answer = requests.get(f"{front.url}/health", headers={"Accept": accept}, timeout=30)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in answer.headers["Content-Security-Policy"]

    def test_both_have_the_same_status(self, front: Front) -> None:
        for each in front.control.subscriptions():
            front.control.remove_subscription(each["id"])
        for accept in (self.BROWSER, "application/json"):
            answer = requests.get(f"{front.url}/health", headers={"Accept": accept}, timeout=30)
            assert answer.status_code == 503

    @pytest.mark.parametrize("accept", [";;,", "text/html;q=x", "text/html;q=", "\x00", "a" * 9_000])
    def test_any_accept_header_is_answered(self, busy: World, accept: str) -> None:
        assert endpoint.respond(busy.settings, accept).mimetype == "application/json"


def test_the_documented_fields_are_those_of_the_json(busy: World) -> None:
    text = (Path(__file__).parents[2] / "docs/operators.md").read_text()
    section = text.split("\n## Health\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*told(busy), "problem"]
    assert list(endpoint.health_json(endpoint.build_report({}))) == [*list(told(busy))[:5], "problem"]


def test_busy_workers_do_not_hold_health_up() -> None:
    """A plain function would wait for one of the threads that they keep."""
    functions = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}
    assert inspect.iscoroutinefunction(functions["health"])


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_wrong_setting_is_the_only_thing_told(accept: str) -> None:
    reply = endpoint.respond({"TENANT_ID": "contoso"}, accept)
    assert reply.status == 503
    assert "App setting TENANT_ID is 'contoso'; allowed: a GUID." in reply.text
