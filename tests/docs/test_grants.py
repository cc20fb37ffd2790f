"""infra/grant-permissions.sh against a double of the Azure CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bicep import INFRA

CLIENT = "3d2c1b0a-5e4f-4a6b-8c7d-9e0f1a2b3c4d"
APP, GRAPH = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ROLES = {
    "OnlineMeetings.Read.All": "c1684f21-1984-47fa-9d61-2dc8c296bb70",
    "OnlineMeetingArtifact.Read.All": "df01ed3b-eb61-4eca-9965-6b3d789751b2",
    "CallRecords.Read.All": "45bbb07e-7321-4fd7-a8f6-3ff27e6a81c8",
    "VirtualEvent.Read.All": "1dccb351-c4e4-4e09-a8d1-7a9ecbf027cc",
}
AZ = f"""#!{sys.executable}
import json, os, pathlib, re, sys

there = pathlib.Path(__file__).parent
given = sys.argv[1:]
with (there / "calls").open("a") as calls:
    calls.write(json.dumps(given) + "\\n")
tenant = json.loads((there / "tenant.json").read_text())
url, query = given[given.index("--url") + 1], given[given.index("--query") + 1] if "--query" in given else ""
if "post" in given:
    pass
elif "appId=" in url:
    print(tenant["principals"].get(re.findall("appId='(.*)'", url)[0], ""))
elif url.endswith("/appRoleAssignments"):
    print("\\n".join(tenant["granted"]))
elif url.endswith("/appRoles"):
    print(tenant["roles"].get(re.findall("value=='([^']+)'", query)[0], tenant["nothing"]))
"""


class AzureCLI:
    """A folder for PATH with an `az` that records calls and answers for one tenant."""

    def __init__(self, folder: Path, **tenant: object) -> None:
        self._folder = folder
        (folder / "az").write_text(AZ)
        (folder / "az").chmod(0o755)
        principals = {CLIENT: APP, "00000003-0000-0000-c000-000000000000": GRAPH}
        content = {"principals": principals, "granted": [], "roles": ROLES, "nothing": "", **tenant}
        (folder / "tenant.json").write_text(json.dumps(content))

    def grant(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}"}
        command = ["sh", str(INFRA / "grant-permissions.sh"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    @property
    def calls(self) -> list[list[str]]:
        calls = self._folder / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    @property
    def granted(self) -> list[str]:
        """Ids of the roles that were granted, in order."""
        bodies = [json.loads(each[each.index("--body") + 1]) for each in self.calls if "--body" in each]
        assert all((each["principalId"], each["resourceId"]) == (APP, GRAPH) for each in bodies)
        return [each["appRoleId"] for each in bodies]


def test_the_app_gets_what_its_signals_need(tmp_path: Path) -> None:
    az = AzureCLI(tmp_path)
    done = az.grant(CLIENT)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = ["OnlineMeetings.Read.All", "OnlineMeetingArtifact.Read.All", "CallRecords.Read.All"]
    assert az.granted == [ROLES[name] for name in wanted]
    assert done.stdout.splitlines() == [f"{name}: granted" for name in wanted]


def test_run_again_it_grants_what_is_missing(tmp_path: Path) -> None:
    az = AzureCLI(tmp_path, granted=[ROLES["OnlineMeetings.Read.All"], ROLES["CallRecords.Read.All"]])
    done = az.grant(CLIENT, "call-records,virtual-events")
    assert done.returncode == 0
    assert az.granted == [ROLES["OnlineMeetingArtifact.Read.All"], ROLES["VirtualEvent.Read.All"]]
    assert done.stdout.count("granted already") == 2


@pytest.mark.parametrize("nothing", ["", "None"])
@pytest.mark.parametrize("granted", [[], [ROLES["OnlineMeetings.Read.All"]]], ids=["none", "one"])
def test_a_role_that_a_cloud_lacks_is_an_error(tmp_path: Path, nothing: str, granted: list[str]) -> None:
    """An empty role id is contained in every list of granted ones."""
    lacking = {name: role for name, role in ROLES.items() if name != "VirtualEvent.Read.All"}
    az = AzureCLI(tmp_path, roles=lacking, nothing=nothing, granted=granted)
    done = az.grant(CLIENT, "virtual-events", "usgov")
    assert done.returncode == 1
    assert "https://graph.microsoft.us) has no permission VirtualEvent.Read.All" in done.stderr
    assert "VirtualEvent.Read.All" not in done.stdout


@pytest.mark.parametrize(
    ("cloud", "root"),
    [
        ("global", "https://graph.microsoft.com"),
        ("usgov", "https://graph.microsoft.us"),
        ("usgovdod", "https://dod-graph.microsoft.us"),
    ],
)
def test_the_token_is_asked_for_the_graph_of_the_cloud(tmp_path: Path, cloud: str, root: str) -> None:
    az = AzureCLI(tmp_path)
    assert az.grant(CLIENT, "call-records", cloud).returncode == 0
    for call in az.calls:
        assert call[:3] == ["rest", "--resource", root]
        assert call[call.index("--url") + 1].startswith(f"{root}/v1.0/")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "CLIENT_ID '' is not a GUID"),
        (("func-attendance",), "CLIENT_ID 'func-attendance' is not a GUID"),
        ((CLIENT, "webinars"), "SIGNALS names 'webinars'"),
        ((CLIENT, "call-records", "china"), "CLOUD 'china' is none of global, usgov and usgovdod"),
    ],
    ids=["none", "name", "signal", "cloud"],
)
def test_what_is_wrong_is_named_before_anything_is_asked(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    az = AzureCLI(tmp_path)
    done = az.grant(*arguments)
    assert done.returncode == 1
    assert problem in done.stderr
    assert az.calls == []


def test_an_app_that_is_not_there_ends_it(tmp_path: Path) -> None:
    az = AzureCLI(tmp_path, principals={})
    done = az.grant(CLIENT)
    assert done.returncode == 1
    assert CLIENT in done.stderr
    assert az.granted == []
