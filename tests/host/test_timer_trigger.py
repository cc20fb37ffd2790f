"""The host's timer trigger: schedule, restarts, and the admin route."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.host.schedule import NEVER, Schedule, Status, is_current
from tests.support.host_process import Account, StartHost, until
from tests.support.host_process import account as account
from tests.support.host_process import start_host as start_host

TIMER = """
@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
def tick(timer: func.TimerRequest) -> None:
    note(past_due=timer.past_due, status=timer.schedule_status)
    if (HERE / "fail").exists():
        raise RuntimeError("no luck")
"""
YEARLY = "0 0 0 1 1 *"
EVERY_SECOND = "* * * * * *"


def settings(schedule: str, host_id: str) -> dict[str, str | None]:
    return {"SCHEDULE": schedule, "AzureFunctionsWebHost__hostid": host_id}


def recorded(account: Account, host_id: str) -> dict[str, str]:
    blob = account.container("azure-webjobs-hosts").get_blob_client(f"timers/{host_id}/tick/status")
    try:
        status: dict[str, str] = json.loads(blob.download_blob().readall())
    except ResourceNotFoundError:
        return {}
    return status


def record(account: Account, host_id: str, status: Status) -> None:
    container = account.container("azure-webjobs-hosts")
    if not container.exists():
        container.create_container()
    container.upload_blob(f"timers/{host_id}/tick/status", json.dumps(status.as_json()))


def test_a_first_start_only_records_the_next_occurrence(account: Account, start_host: StartHost) -> None:
    host = start_host(TIMER, settings=settings(YEARLY, "first"))
    status = until(lambda: recorded(account, "first"), "recorded")
    assert status["Next"] == Schedule(YEARLY).after(datetime.now(UTC)).isoformat()
    assert status["Last"] == NEVER.isoformat()
    assert host.seen == []


@pytest.mark.parametrize("name", ["AzureWebJobs.tick.Disabled", "AzureWebJobs__tick__Disabled"])
def test_a_disabled_function_does_not_run(account: Account, start_host: StartHost, name: str) -> None:
    last = datetime.now(UTC) - timedelta(days=800)
    record(account, name, Status(last, Schedule(YEARLY).after(last), last))
    host = start_host(TIMER, settings=settings(YEARLY, name) | {name: "true"})
    assert host.terminate() == 0
    assert host.seen == []
    assert recorded(account, name)["Last"] == last.isoformat()


def test_a_missed_occurrence_is_made_up_for_once(account: Account, start_host: StartHost) -> None:
    last = datetime.now(UTC) - timedelta(days=800)
    record(account, "missed", Status(last, Schedule(YEARLY).after(last), last))
    host = start_host(TIMER, settings=settings(YEARLY, "missed"))
    [seen] = until(lambda: host.seen, "caught up")
    assert seen["past_due"] is True
    until(lambda: recorded(account, "missed")["Last"] > last.isoformat(), "recorded")
    assert host.terminate() == 0
    again = start_host(settings=settings(YEARLY, "missed"))
    assert again.run("tick") == 202
    until(lambda: len(again.seen) == 2, "run by hand")
    assert again.seen[1]["past_due"] is False


def test_a_status_of_another_schedule_is_no_missed_occurrence(
    account: Account, start_host: StartHost
) -> None:
    last = datetime.now(UTC) - timedelta(days=9)
    record(account, "changed", Status(last, Schedule("0 0 3 * * *").after(last), last))
    host = start_host(TIMER, settings=settings(YEARLY, "changed"))
    until(lambda: recorded(account, "changed")["Last"] == NEVER.isoformat(), "recorded anew")
    assert host.seen == []


def test_exceptions_do_not_stop_the_schedule(account: Account, start_host: StartHost) -> None:
    (start_host(TIMER, settings=settings(YEARLY, "fails")).folder / "fail").touch()
    host = start_host(settings=settings(EVERY_SECOND, "fails"))
    until(lambda: len(host.seen) >= 3, "three ticks")
    assert "no luck" in host.log


def test_run_on_startup_is_honoured(account: Account, start_host: StartHost) -> None:
    app = TIMER.replace('"%SCHEDULE%"', '"%SCHEDULE%", run_on_startup=True')
    host = start_host(app, settings=settings(YEARLY, "startup"))
    [seen] = until(lambda: host.seen, "run")
    assert seen["past_due"] is False


@pytest.mark.parametrize("uri", ["https://127.0.0.1:9/devstoreaccount1", None])
def test_without_a_blob_service_the_timer_still_ticks(
    account: Account, start_host: StartHost, uri: str | None
) -> None:
    chosen = settings(EVERY_SECOND, "blind") | {"AzureWebJobsStorage__blobServiceUri": uri}
    host = start_host(TIMER, settings=chosen)
    until(lambda: host.seen, "a tick")
    assert host.status == {**host.status, "state": "Running", "errors": []}


def test_runs_of_one_timer_never_overlap(account: Account, start_host: StartHost) -> None:
    app = """
    @app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
    def tick(timer: func.TimerRequest) -> None:
        note(at="begin")
        time.sleep(0.1)
        note(at="end")
    """
    host = start_host(app, settings=settings(YEARLY, "overlap"))
    for _ in range(4):
        assert host.run("tick") == 202
    until(lambda: len(host.seen) == 8, "four runs")
    assert [seen["at"] for seen in host.seen] == ["begin", "end"] * 4


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */15 * * * *", "2026-01-01T00:15:00+00:00"),
        ("30 0 0 * * *", "2026-01-01T00:00:30+00:00"),
        ("0 0 0 1 * 1", "2026-06-01T00:00:00+00:00"),  # the first of a month that is a Monday, not either
        ("0 0 9-17 * * MON-FRI", "2026-01-01T09:00:00+00:00"),
    ],
)
def test_ncrontab(expression: str, expected: str) -> None:
    assert Schedule(expression).after(datetime(2026, 1, 1, tzinfo=UTC)).isoformat() == expected


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 61 * * * *", "x * * * * *", "", "00:05:00"])
def test_what_is_no_ncrontab_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule(expression)


def test_a_status_survives_its_json() -> None:
    now = datetime(2026, 1, 1, 0, 20, 0, 123456, tzinfo=UTC)
    status = Status(NEVER, Schedule(YEARLY).after(now), now)
    assert Status.from_json(json.dumps(status.as_json())) == status
    assert is_current(status, Schedule(YEARLY))
    assert not is_current(status, Schedule("0 30 * * * *"))
