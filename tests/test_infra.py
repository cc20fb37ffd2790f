"""What is deployed: it compiles without a warning, holds no key, and agrees with the code and the documents."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shared import settings
from shared.storage import clients
from tests.bicep import INFRA, ROOT, bicep, compiler, graph_extension

ROLES = {
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Key Vault Crypto User": "12338af0-0e69-4776-bea7-57ae8d297424",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
}
PARAMETERS = [INFRA / "main.bicepparam", *sorted((INFRA / "parameters").glob("*.bicepparam"))]
SNAPSHOTS = [file.with_suffix(".snapshot.json") for file in PARAMETERS]
EVERYTHING = INFRA / "parameters/everything.snapshot.json"
PERMISSIONS = (ROOT / "docs/permissions.md").read_text()
# What the platform reads, and the code does not.
OF_THE_PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AttendanceStorage__credential",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__tableServiceUri",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
REFUSED_BY_FLEX = {
    *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_EXTENSION_VERSION"),
    *("FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT"),
    *("FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE"),
    *("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_NODE_DEFAULT_VERSION"),
    *("SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD", "WEBSITES_CONTAINER_START_TIME_LIMIT"),
    *("WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_TIME_ZONE", "TZ", "WEBSITE_MOUNT_ENABLED"),
}
# Of the tables of a Log Analytics workspace, what the queries use.
COLUMNS = {"AppTraces": {"TimeGenerated", "Message"}, "AppRequests": {"TimeGenerated", "Success", "Name"}}

compiles = pytest.mark.skipif(compiler() is None, reason="Bicep is not installed: see docs/deployers.md")


def resources(snapshot: Path, kind: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(snapshot.read_text())["predictedResources"]
    return [each for each in found if not kind or each["type"] == kind]


def app_settings(snapshot: Path) -> dict[str, str]:
    (config,) = resources(snapshot, "Microsoft.Web/sites/config")
    found: dict[str, str] = config["properties"]
    return found


def last(name: str) -> str:
    """The last part of a resource's name, which can be an expression."""
    return re.findall(r"'([\w-]+)'", name)[-1] if "'" in name else name.rsplit("/", 1)[-1]


@compiles
@pytest.mark.parametrize("file", [INFRA / "main.bicep", *PARAMETERS], ids=lambda file: file.name)
def test_a_file_lints_without_a_warning(file: Path) -> None:
    done = bicep("lint", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@compiles
def test_the_files_are_formatted(tmp_path: Path) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    for file in (tmp_path / "infra").rglob("*.bicep"):
        bicep("format", file)
        assert file.read_text() == (INFRA / file.relative_to(tmp_path / "infra")).read_text(), file.name


@compiles
def test_the_permissions_of_graph_compile(tmp_path: Path) -> None:
    extension = graph_extension()
    if extension is None:
        pytest.skip("the Microsoft Graph extension is not at hand as a file")
    shutil.copy(INFRA / "graph.bicep", tmp_path)
    config = json.loads((INFRA / "bicepconfig.json").read_text())
    config["extensions"]["microsoftGraphV1"] = str(extension)
    (tmp_path / "bicepconfig.json").write_text(json.dumps(config))
    done = bicep("lint", tmp_path / "graph.bicep")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@compiles
@pytest.mark.parametrize("file", PARAMETERS, ids=lambda file: file.name)
def test_what_is_deployed_is_what_was_reviewed(file: Path, tmp_path: Path) -> None:
    """After a change: `bicep snapshot FILE --mode overwrite`, and look at the difference."""
    shutil.copytree(INFRA, tmp_path / "infra")
    copy = tmp_path / "infra" / file.relative_to(INFRA)
    done = bicep("snapshot", copy, "--mode", "validate")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_no_key_opens_anything(snapshot: Path) -> None:
    text = snapshot.read_text()
    for forbidden in (
        "listKeys",
        "AccountKey=",
        "SharedAccessSignature",
        "listCredentials",
        "DefaultEndpointsProtocol",
    ):
        assert forbidden not in text
    (account,) = resources(snapshot, "Microsoft.Storage/storageAccounts")
    rules = account["properties"]
    assert rules["allowSharedKeyAccess"] is False
    assert rules["allowBlobPublicAccess"] is False
    assert rules["minimumTlsVersion"] == "TLS1_2"
    assert rules["isHnsEnabled"] is False
    (vault,) = resources(snapshot, "Microsoft.KeyVault/vaults")
    assert vault["properties"]["enableRbacAuthorization"] is True
    (insights,) = resources(snapshot, "Microsoft.Insights/components")
    assert insights["properties"]["DisableLocalAuth"] is True


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_every_setting_that_the_code_needs_is_set_and_none_that_nobody_reads(snapshot: Path) -> None:
    given = set(app_settings(snapshot))
    known = {each.name: each for each in settings.TABLE}
    assert {name for name, each in known.items() if each.default is None} <= given
    assert given - set(known) == OF_THE_PLATFORM
    assert not given & REFUSED_BY_FLEX


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_the_settings_pass_the_apps_own_check(snapshot: Path) -> None:
    values = app_settings(snapshot)
    cloud = settings.CLOUDS[values["GRAPH_CLOUD"]]
    known_at_deployment = {
        "AZURE_CLIENT_ID": "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68",
        "TENANT_ID": "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10",
        "CLIENT_STATE": "resolved-from-key-vault-0123456789",
        "NOTIFICATION_BASE_URL": "https://app.example/api",
        "AttendanceStorage__blobServiceUri": f"https://st.blob.{cloud.storage_suffix}/",
        "AzureWebJobsStorage__blobServiceUri": f"https://st.blob.{cloud.storage_suffix}/",
        "AzureWebJobsStorage__queueServiceUri": f"https://st.queue.{cloud.storage_suffix}/",
    }
    if values["ENCRYPTION_KEY_ID"]:
        known_at_deployment["ENCRYPTION_KEY_ID"] = f"https://kv-a.{cloud.vault_suffix}/keys/notifications"
    loaded = settings.load(values | known_at_deployment)
    assert loaded.container == "attendance"
    assert loaded.graph_rate > 0


def test_the_client_state_comes_from_key_vault_and_is_made_once() -> None:
    for snapshot in SNAPSHOTS:
        assert app_settings(snapshot)["CLIENT_STATE"].startswith(
            "[format('@Microsoft.KeyVault(SecretUri={0})'"
        )
    module = (INFRA / "modules/vault.bicep").read_text()
    assert re.search(r"@onlyIfNotExists\(\)\nresource clientState ", module)


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_queues_and_containers_have_the_codes_names(snapshot: Path) -> None:
    queues = resources(snapshot, "Microsoft.Storage/storageAccounts/queueServices/queues")
    assert {last(each["name"]) for each in queues} == set(clients.QUEUES)
    containers = resources(snapshot, "Microsoft.Storage/storageAccounts/blobServices/containers")
    names = {last(each["name"]) for each in containers}
    assert {"attendance", f"attendance{settings.STATE_SUFFIX}"} <= names


def test_roles_are_those_of_the_table() -> None:
    rows = re.findall(
        r"^\| (app|consumers) \| ([^|]+) \| (?:\w+ `)?([^`|]+?)`? \| ", PERMISSIONS, re.MULTILINE
    )
    given = []
    for each in resources(EVERYTHING, "Microsoft.Authorization/roleAssignments"):
        role = re.findall(
            r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(each["properties"]["roleDefinitionId"])
        )[-1]
        parts = re.findall(r"'([^']+)'", each["name"])
        on = "Application Insights" if "Microsoft.Insights/components" in each["name"] else parts[-3]
        who = "consumers" if each["properties"]["principalType"] == "Group" else "app"
        given.append((who, role, on))
    assert sorted(given) == sorted((who, ROLES[role], on) for who, role, on in rows)


def test_the_roles_file_names_them_right() -> None:
    text = (INFRA / "modules/roles.bicep").read_text()
    assert set(re.findall(r"'([0-9a-f-]{36})'", text)) == set(ROLES.values())


def test_graph_permissions_are_those_of_the_table() -> None:
    wanted = set(re.findall(r"^\| `(\w+\.Read\.All)` \|", PERMISSIONS, re.MULTILINE))
    for name in ("graph.bicep", "grant-permissions.sh"):
        assert set(re.findall(r"\b(\w+\.Read\.All)\b", (INFRA / name).read_text())) == wanted


def test_in_us_government_nothing_is_in_the_public_cloud() -> None:
    text = (INFRA / "parameters/usgov.snapshot.json").read_text()
    assert not re.findall(r"windows\.net|azure\.com|vault\.azure\.net", text)


def test_the_private_network_closes_storage_and_vault() -> None:
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        (closed,) = resources(EVERYTHING, kind)
        assert closed["properties"]["publicNetworkAccess"] == "Disabled"
        assert closed["properties"]["networkAcls"]["defaultAction"] == "Deny"
    groups = {
        each["properties"]["privateLinkServiceConnections"][0]["name"]
        for each in resources(EVERYTHING, "Microsoft.Network/privateEndpoints")
    }
    assert groups == {"blob", "queue", "table", "vault"}


def test_with_call_events_there_is_a_key_that_cannot_leave_and_without_there_is_none() -> None:
    (key,) = resources(EVERYTHING, "Microsoft.KeyVault/vaults/keys")
    assert key["properties"]["kty"] == "RSA"
    assert key["properties"]["attributes"]["exportable"] is False
    assert resources(INFRA / "main.snapshot.json", "Microsoft.KeyVault/vaults/keys") == []


def test_the_app_is_what_the_code_needs() -> None:
    (app,) = resources(INFRA / "main.snapshot.json", "Microsoft.Web/sites")
    config = app["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (ROOT / ".python-version").read_text().strip()}
    assert config["scaleAndConcurrency"]["alwaysReady"] == [{"name": "http", "instanceCount": 1}]
    assert app["properties"]["httpsOnly"] is True


def test_the_rate_of_an_instance_is_its_share() -> None:
    assert app_settings(INFRA / "main.snapshot.json")["GRAPH_RATE"] == "1.87"
    assert app_settings(EVERYTHING)["GRAPH_RATE"] == "0.75"


@pytest.mark.parametrize("file", sorted((INFRA / "queries").glob("*.kql")), ids=lambda file: file.name)
def test_a_query_asks_for_tables_columns_and_events_that_exist(file: Path) -> None:
    text = file.read_text()
    tables = set(re.findall(r"\b(App[A-Z]\w+)\b", text))
    assert tables <= set(COLUMNS)
    (table,) = tables
    columns = set(re.findall(r"\b(TimeGenerated|Message|Success|Name|\w*(?<=\s)Properties)\b", text))
    assert columns <= COLUMNS[table]
    events = set(re.findall(r'"([a-z]+\.[a-zA-Z]+)"', text))
    documented = set(
        re.findall(r"^\| `([a-z]+\.[a-zA-Z]+)` \|", (ROOT / "docs/operators.md").read_text(), re.MULTILINE)
    )
    assert events <= documented
    assert events or table == "AppRequests"
    code = "\n".join(
        each.read_text() for each in [*(ROOT / "shared").rglob("*.py"), ROOT / "function_app.py"]
    )
    for field in set(re.findall(r"\bline\.(\w+)", text)) - {"event"}:
        logged = rf"logs\.\w+\([^()]*(?:\([^()]*\)[^()]*)*\b{field}="
        assert re.search(logged, code) or f'dropped["{field}"]' in code, field


def test_every_query_is_an_alert_and_on_the_workbook() -> None:
    names = {file.name for file in (INFRA / "queries").glob("*.kql")}
    for module in ("alerts", "workbook"):
        text = (INFRA / f"modules/{module}.bicep").read_text()
        assert set(re.findall(r"queries/([\w-]+\.kql)", text)) == names
    (workbook,) = resources(INFRA / "main.snapshot.json", "Microsoft.Insights/workbooks")
    shown = json.loads(workbook["properties"]["serializedData"])["items"]
    assert len([each for each in shown if each["type"] == 3]) == len(names)


def test_the_script_is_one_that_a_shell_takes() -> None:
    assert subprocess.run(["sh", "-n", INFRA / "grant-permissions.sh"]).returncode == 0
