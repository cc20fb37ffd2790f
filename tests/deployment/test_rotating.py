"""`scripts/rotate` against a recording `az` with a vault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployment import rotation
from shared.settings import MAX_CLIENT_STATE
from tests.deployment.test_deploying import compiled
from tests.support.azure_doubles import SUBSCRIPTION, Azure, RecordingAz, SteppedClock, outputs

FIRST, STAND_IN = "f" * 40, "p" * 40
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingAz:
    """An `az` that holds both secrets as a deployment makes them."""
    fake = RecordingAz(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(fake.folder))
    fake.answer("account show", {"id": SUBSCRIPTION, "name": "Pilot", "environmentName": "AzureCloud"})
    fake.answer("bicep build-params", compiled())
    fake.answer("deployment sub show", outputs(Azure(host="127.0.0.1:9")))
    fake.answer("rest post configreferences/appsettings/refresh", None)
    fake.answer("rest get configreferences/appsettings?", {"value": []})
    fake.vault(
        client_state={"id": "https://v/secrets/client-state/v0", "value": FIRST, "tags": None},
        client_state_previous={
            "id": "https://v/secrets/client-state-previous/v0",
            "value": STAND_IN,
            "tags": None,
        },
    )
    return fake


@pytest.fixture
def rotate(az: RecordingAz, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the program, some days after the first time."""
    parameters = tmp_path / "main.bicepparam"
    parameters.write_text("")

    def run(*arguments: str, days: float = 0) -> tuple[int, str]:
        moment = NOW + timedelta(days=days)
        code = rotation.main([str(parameters), *arguments], clock=SteppedClock(), now=lambda: moment)
        out, err = capfd.readouterr()
        values = [each["content"] for each in az.records if "content" in each]
        for value in (FIRST, STAND_IN, *values):
            assert value not in out + err
            assert not [each for each in az.calls if value in each], "an argument is visible to others"
        return code, err

    return run


def value(az: RecordingAz, name: str) -> str:
    return str(az.secrets[name]["value"])


def test_a_rotation_keeps_the_secret_before(rotate: Any, az: RecordingAz) -> None:
    code, err = rotate()
    assert code == 0, err
    assert value(az, "client-state-previous") == FIRST
    new = value(az, "client-state")
    assert new not in (FIRST, STAND_IN)
    assert 32 <= len(new) <= MAX_CLIENT_STATE
    assert "after 2026-12-03 12:00 UTC" in err
    written = [each for each in az.records if "content" in each]
    assert [each["content"] for each in written] == [FIRST, new], "the secret before is kept first"
    assert {each["mode"] for each in written} == {0o600}
    files = [each["arguments"][each["arguments"].index("--file") + 1] for each in written]
    assert not [file for file in files if Path(file).exists()]
    assert "appsettings/refresh" in az.calls[-2]


def test_finishing_three_days_later_replaces_the_secret_before(rotate: Any, az: RecordingAz) -> None:
    rotate()
    new = value(az, "client-state")
    code, err = rotate("--finish", days=3.1)
    assert code == 0, err
    assert value(az, "client-state") == new
    assert value(az, "client-state-previous") not in (FIRST, STAND_IN, new)
    assert rotate(days=3.2)[0] == 0, "the next rotation can begin"


def test_finishing_too_early_is_refused_unless_it_leaked(rotate: Any, az: RecordingAz) -> None:
    rotate()
    code, err = rotate("--finish", days=1)
    assert code == 1
    assert "until 2026-12-03 12:00 UTC" in err
    assert value(az, "client-state-previous") == FIRST
    assert rotate("--finish", "--leaked", days=1)[0] == 0
    assert value(az, "client-state-previous") != FIRST


def test_a_second_rotation_would_forget_a_secret_that_is_in_use(rotate: Any, az: RecordingAz) -> None:
    rotate()
    new = value(az, "client-state")
    code, err = rotate(days=1)
    assert code == 1
    assert "run --finish first" in err
    assert (value(az, "client-state"), value(az, "client-state-previous")) == (new, FIRST)


def test_an_interrupted_rotation_goes_on(rotate: Any, az: RecordingAz) -> None:
    interrupted = {
        "id": "https://v/secrets/p/v1",
        "value": FIRST,
        "tags": {"accepted-until": "2026-12-03T12:00:00Z"},
    }
    az.vault(
        client_state={"id": "https://v/secrets/c/v0", "value": FIRST, "tags": None},
        client_state_previous=interrupted,
    )
    assert rotate("--finish", days=4)[0] == 1
    code, err = rotate(days=4)
    assert code == 0, err
    assert value(az, "client-state") != FIRST
    assert value(az, "client-state-previous") == FIRST


def test_finishing_what_never_began_is_refused(rotate: Any, az: RecordingAz) -> None:
    code, err = rotate("--finish")
    assert code == 1
    assert "No rotation is under way" in err
    assert value(az, "client-state-previous") == STAND_IN


def test_a_role_that_is_missing_is_named(rotate: Any, az: RecordingAz) -> None:
    az._vault = None
    az.answer("keyvault secret", ValueError("(Forbidden) Caller is not authorized to perform action"))
    code, err = rotate()
    assert code == 1
    assert "Key Vault Secrets Officer on kv-attendance" in err
    assert "privateNetwork" in err


def test_the_app_that_keeps_the_old_version_is_said(rotate: Any, az: RecordingAz) -> None:
    stale = {"name": "CLIENT_STATE", "properties": {"status": "Resolved", "activeVersion": "v0"}}
    az.answer("rest get configreferences/appsettings?", {"value": [stale]})
    code, err = rotate()
    assert code == 1
    assert "The secrets are written; the app reads them within a day" in err
    assert "CLIENT_STATE (still the version before)" in err
