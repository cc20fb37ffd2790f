"""The template compiles without warnings, and agrees with code and documents."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from local.event_hub.partitions import COUNT
from shared import settings
from shared.graph import delivery
from shared.storage import clients
from tests.support.app_settings import ERASURE_KEY, PREVIOUS_STATE, STATE
from tests.support.bicep import INFRA, ROOT, bicep, compiled, compiler, graph_extension

ROLES = {
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Azure Event Hubs Data Receiver": "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
    "Azure Event Hubs Data Sender": "2b629674-e913-4c01-ae53-ef4638d8f975",
    "Key Vault Crypto User": "12338af0-0e69-4776-bea7-57ae8d297424",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
PARAMETERS = [INFRA / "main.bicepparam", *sorted((INFRA / "parameters").glob("*.bicepparam"))]
SNAPSHOTS = [file.with_suffix(".snapshot.json") for file in PARAMETERS]
MAIN = INFRA / "main.snapshot.json"
EVERYTHING = INFRA / "parameters/everything.snapshot.json"
EXISTING_NETWORK = INFRA / "parameters/existing-network.snapshot.json"
EVENT_GRID = INFRA / "parameters/event-grid.snapshot.json"
PILOT = INFRA / "parameters/pilot.snapshot.json"
US_GOVERNMENT = INFRA / "parameters/usgov.snapshot.json"
PERMISSIONS = (ROOT / "docs/permissions.md").read_text()
# What the platform reads, and the code does not.
OF_THE_PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AttendanceStorage__credential",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__tableServiceUri",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
OF_THE_HUB = {"GraphEventHub__credential", "GraphEventHub__clientId"}
GRAPH = "7e000000-0000-4000-8000-000000000003"  # Microsoft Graph Change Tracking, in everything.bicepparam
REFUSED_BY_FLEX = {
    *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_EXTENSION_VERSION"),
    *("FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT"),
    *("FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE"),
    *("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_NODE_DEFAULT_VERSION"),
    *("SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD", "WEBSITES_CONTAINER_START_TIME_LIMIT"),
    *("WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_TIME_ZONE", "TZ", "WEBSITE_MOUNT_ENABLED"),
}
# Of the tables of a Log Analytics workspace, what the queries use.
COLUMNS = {
    "AppTraces": {"TimeGenerated", "Message"},
    "AppRequests": {"TimeGenerated", "Success", "Name", "ResultCode"},
}

compiles = pytest.mark.skipif(compiler() is None, reason="Bicep is not installed: see docs/deployers.md")


def resources(snapshot: Path, kind: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(snapshot.read_text())["predictedResources"]
    return [each for each in found if not kind or each["type"] == kind]


def app_settings(snapshot: Path) -> dict[str, str]:
    (config,) = resources(snapshot, "Microsoft.Web/sites/config")
    found: dict[str, str] = config["properties"]
    return found


def accounts(snapshot: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The host account and the data account."""
    host, data = resources(snapshot, "Microsoft.Storage/storageAccounts")
    assert ("sthost" in host["name"], "sthost" in data["name"]) == (True, False)
    return host, data


def lifecycle(snapshot: Path, *, host: bool) -> dict[str, dict[str, Any]]:
    """The definitions of the rules of one account, by their names."""
    return {
        rule["name"]: rule["definition"]
        for policy in resources(snapshot, "Microsoft.Storage/storageAccounts/managementPolicies")
        if ("sthost" in policy["name"]) is host
        for rule in policy["properties"]["policy"]["rules"]
    }


def tried(tmp_path: Path, *parameters: str) -> tuple[Path, str]:
    """The snapshot of main.bicep with these parameters, and the error, or ""."""
    shutil.copytree(INFRA, tmp_path / "infra")
    file = tmp_path / "infra/tried.bicepparam"
    lines = (
        "using 'main.bicep'",
        "param environmentName = 'x1'",
        "param location = 'westeurope'",
        *parameters,
    )
    file.write_text("\n".join(lines))
    done = bicep("snapshot", file, "--mode", "overwrite")
    return file.with_suffix(".snapshot.json"), done.stderr if done.returncode else ""


def last(name: str) -> str:
    """The last part of a resource's name, which can be an expression."""
    return re.findall(r"'([\w-]+)'", name)[-1] if "'" in name else name.rsplit("/", 1)[-1]


@compiles
@pytest.mark.heavy("a matter of style, as lint is")
def test_the_files_are_formatted(tmp_path: Path) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    bicep("format", "--pattern", str(tmp_path / "infra/**/*.bicep"))
    for file in (tmp_path / "infra").rglob("*.bicep"):
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
def test_what_is_deployed_is_what_was_reviewed_and_has_no_warning(file: Path, tmp_path: Path) -> None:
    """After a change, run `bicep snapshot FILE --mode overwrite` and review the diff."""
    shutil.copytree(INFRA, tmp_path / "infra")
    copy = tmp_path / "infra" / file.relative_to(INFRA)
    done = bicep("snapshot", copy, "--mode", "validate")  # says all that `bicep lint` says
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
    for account in accounts(snapshot):
        rules = account["properties"]
        assert rules["allowSharedKeyAccess"] is False
        assert rules["allowBlobPublicAccess"] is False
        assert rules["minimumTlsVersion"] == "TLS1_2"
        assert rules["isHnsEnabled"] is False
    policies = resources(snapshot, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {last(each["name"]): each["properties"] for each in policies} == {
        "scm": {"allow": False},
        "ftp": {"allow": False},
    }
    (vault,) = resources(snapshot, "Microsoft.KeyVault/vaults")
    assert vault["properties"]["enableRbacAuthorization"] is True
    (insights,) = resources(snapshot, "Microsoft.Insights/components")
    assert insights["properties"]["DisableLocalAuth"] is True


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_every_setting_that_the_code_needs_is_set_and_none_that_nobody_reads(snapshot: Path) -> None:
    given = set(app_settings(snapshot))
    known = {each.name: each for each in settings.TABLE}
    assert {name for name, each in known.items() if each.default is None} <= given
    hub = OF_THE_HUB if "event-hubs" in app_settings(snapshot)["DELIVERY"] else set()
    assert given - set(known) == OF_THE_PLATFORM | hub
    assert not given & (REFUSED_BY_FLEX | {"AzureWebJobsStorage"})


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_functions_has_one_account_and_the_reports_another(snapshot: Path) -> None:
    values = app_settings(snapshot)
    for service in ("blob", "queue", "table"):
        assert "sthost" in values[f"AzureWebJobsStorage__{service}ServiceUri"]
        assert values[f"AzureWebJobsStorage__{service}ServiceUri"].endswith(f".primaryEndpoints.{service}]")
    assert re.search(r"'data-.*outputs\.blobEndpoint\.value\]$", values["AttendanceStorage__blobServiceUri"])
    name = values.get("AzureWebJobsStorage__accountName", "")
    assert ("sthost" in name) is (
        values["GRAPH_CLOUD"] == "global"
    )  # the suffix that follows is the public cloud's


def test_further_settings_come_with_the_deployment_and_win() -> None:
    assert app_settings(EVERYTHING)["NOTIFICATION_MAX_BYTES"] == "262144"
    module = (INFRA / "modules/app.bicep").read_text()
    assert re.search(r"properties: union\(.*\n    extraAppSettings\n  \)\n", module, re.DOTALL)


def test_the_platform_takes_no_larger_body_than_the_app_might() -> None:
    largest = next(each.default for each in settings.TABLE if each.name == "NOTIFICATION_MAX_BYTES")
    limit = int(app_settings(MAIN)["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"])
    assert int(largest or 0) < limit <= 2 * 1024 * 1024


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_the_settings_pass_the_apps_own_check(snapshot: Path) -> None:
    values = app_settings(snapshot)
    cloud = settings.CLOUDS[values["GRAPH_CLOUD"]]
    known_at_deployment = {
        "AZURE_CLIENT_ID": "c2b7a9e4-6d35-4f0b-8a71-3e9d5c1f4b68",
        "TENANT_ID": "7f1d3c52-0a86-4be4-9c1e-5b2f8f7a6d10",
        "CLIENT_STATE": STATE,
        "CLIENT_STATE_PREVIOUS": PREVIOUS_STATE,
        "ERASURE_KEY": ERASURE_KEY,
        "NOTIFICATION_BASE_URL": "https://app.example/api",
        "AttendanceStorage__blobServiceUri": f"https://st.blob.{cloud.storage_suffix}/",
        "AzureWebJobsStorage__accountName": "sthost" if values["GRAPH_CLOUD"] == "global" else "",
        "AzureWebJobsStorage__blobServiceUri": f"https://sthost.blob.{cloud.storage_suffix}/",
        "AzureWebJobsStorage__queueServiceUri": f"https://sthost.queue.{cloud.storage_suffix}/",
    }
    if "GraphEventHub__fullyQualifiedNamespace" in values:
        known_at_deployment["GraphEventHub__fullyQualifiedNamespace"] = f"evhns-a.{cloud.hub_suffix}"
    if topic := values.get("PARTNER_TOPIC"):
        parts = re.findall(r"'([^']+)'", topic)
        known_at_deployment["PARTNER_TOPIC"] = parts[0].format(
            "11111111-1111-4111-8111-111111111111", *parts[1:]
        )
    if values["ENCRYPTION_KEY_ID"]:
        known_at_deployment["ENCRYPTION_KEY_ID"] = f"https://kv-a.{cloud.vault_suffix}/keys/notifications"
    loaded = settings.load(values | known_at_deployment)
    assert loaded.container == "attendance"
    assert loaded.graph_rate > 0


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_both_client_states_and_the_key_of_erasures_come_from_key_vault(snapshot: Path) -> None:
    """Both always exist, so a rotation only changes values in the vault."""
    secrets = resources(snapshot, "Microsoft.KeyVault/vaults/secrets")
    assert {last(each["name"]) for each in secrets} == {
        "client-state",
        "client-state-previous",
        "erasure-key",
    }
    for setting, output in (
        ("CLIENT_STATE", "clientStateUri"),
        ("CLIENT_STATE_PREVIOUS", "previousClientStateUri"),
        ("ERASURE_KEY", "erasureKeyUri"),
    ):
        reference = app_settings(snapshot)[setting]
        assert reference.startswith("[format('@Microsoft.KeyVault(SecretUri={0})'")
        assert f".outputs.{output}.value" in reference


@compiles
def test_each_secret_is_made_once_of_72_random_characters() -> None:
    template = json.dumps(compiled())
    made = compiled()["resources"]["vault"]["properties"]["template"]
    secrets = [each for each in made["resources"].values() if each["type"].endswith("/secrets")]
    values = {re.findall(r"parameters\('(\w+)'\)", each["properties"]["value"])[0] for each in secrets}
    assert [each["@options"] for each in secrets] == [{"onlyIfNotExists": []}] * 3
    assert len(values) == 3
    for each in values:  # two version 4 UUIDs: 0-9, a-f and -
        assert made["parameters"][each]["defaultValue"] == "[format('{0}{1}', newGuid(), newGuid())]"
        assert made["parameters"][each]["type"] == "securestring"
    assert template.count("onlyIfNotExists") == 3


def test_a_vault_that_was_deleted_can_be_taken_back() -> None:
    (vault,) = resources(MAIN, "Microsoft.KeyVault/vaults")
    assert (vault["properties"]["createMode"], vault["properties"]["softDeleteRetentionInDays"]) == (
        "default",
        90,
    )
    (pilot,) = resources(PILOT, "Microsoft.KeyVault/vaults")
    assert pilot["properties"]["softDeleteRetentionInDays"] == 7


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_queues_and_containers_have_the_codes_names(snapshot: Path) -> None:
    queues = resources(snapshot, "Microsoft.Storage/storageAccounts/queueServices/queues")
    of_grid = clients.GRID_QUEUES if app_settings(snapshot)["DELIVERY"] == "event-grid" else ()
    assert {last(each["name"]) for each in queues} == {*clients.QUEUES, *of_grid}
    containers = resources(snapshot, "Microsoft.Storage/storageAccounts/blobServices/containers")
    names = {("sthost" in each["name"], last(each["name"])) for each in containers}
    assert names == {
        (False, "attendance"),
        (True, f"attendance{settings.STATE_SUFFIX}"),
        (True, "app-packages"),
    }


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_only_reports_have_versions_and_these_end(snapshot: Path) -> None:
    services = resources(snapshot, "Microsoft.Storage/storageAccounts/blobServices")
    kept = {"sthost" in each["name"]: each["properties"] for each in services}
    assert (kept[True]["isVersioningEnabled"], kept[False]["isVersioningEnabled"]) == (False, True)
    assert kept[True]["deleteRetentionPolicy"] == {"enabled": True, "days": 7}
    days = kept[False]["deleteRetentionPolicy"]["days"]
    versions = lifecycle(snapshot, host=False)["versions"]
    assert versions["filters"]["prefixMatch"] == ["attendance/"]
    assert versions["actions"] == {"version": {"delete": {"daysAfterCreationGreaterThan": days}}}


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_reports_and_their_ledger_are_kept_for_the_days_that_the_app_is_told(snapshot: Path) -> None:
    days = int(app_settings(snapshot)["RETENTION_DAYS"])
    reports, ledger = (
        lifecycle(snapshot, host=host).get(name) for host, name in ((False, "reports"), (True, "ledger"))
    )
    if days == 0:
        assert (reports, ledger) == (None, None)
        return
    assert reports
    assert ledger
    assert reports["filters"]["prefixMatch"] == ["attendance/"]
    assert ledger["filters"]["prefixMatch"] == [f"attendance{settings.STATE_SUFFIX}/signals/"]
    deleted = {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": days}}}
    assert reports["actions"] == ledger["actions"] == deleted


@compiles
@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (["param retentionDays = 30"], "retentionDays is 30: it must be 0 (for ever), or 31 or more"),
        (
            ["param graphRequestsPerSecond = 1", "param maximumInstances = 40"],
            "is too small for 122 instances",
        ),
        (
            ["param existingNetwork = { appSubnetId: '/a', endpointSubnetId: '/b' }"],
            "existingNetwork is given, and privateNetwork is false",
        ),
        (["param graphCloud = 'china'"], "'global' | 'usgov' | 'usgovdod'"),
        (["param delivery = 'event-hubs'"], "changeTrackingPrincipalId is empty, and delivery is event-hubs"),
        (["param formerDelivery = 'event-hubs'"], "changeTrackingPrincipalId is empty"),
        (
            ["param delivery = 'event-grid'", "param signals = ['call-records', 'virtual-events']"],
            "signals names virtual-events, and delivery is event-grid",
        ),
    ],
    ids=["retention", "rate", "network", "cloud", "sender", "former sender", "signals"],
)
def test_parameters_that_do_not_go_are_refused_by_name(
    parameters: list[str], problem: str, tmp_path: Path
) -> None:
    assert problem in tried(tmp_path, *parameters)[1]


def test_roles_are_those_of_the_table() -> None:
    rows = re.findall(
        r"^\| (app|consumers|Graph) \| ([^|]+) \| (?:\w+ `)?([^`|]+?)`? \| ", PERMISSIONS, re.MULTILINE
    )
    given = []
    for each in resources(EVERYTHING, "Microsoft.Authorization/roleAssignments"):
        role = re.findall(
            r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(each["properties"]["roleDefinitionId"])
        )[-1]
        scope = each["name"]
        if "Microsoft.Insights/components" in scope:
            on = "Application Insights"
        elif "'Microsoft.Storage/storageAccounts'" in scope:
            on = "host account" if "sthost" in scope else "data account"
        else:
            on = re.findall(r"'([^']+)'", scope)[-3]
        who = "consumers" if each["properties"]["principalType"] == "Group" else "app"
        who = "Graph" if each["properties"]["principalId"] == GRAPH else who
        given.append((who, role, on))
    assert sorted(given) == sorted((who, ROLES[role], on) for who, role, on in rows)


def test_the_roles_file_names_them_right() -> None:
    text = (INFRA / "modules/roles.bicep").read_text()
    assert set(re.findall(r"'([0-9a-f-]{36})'", text)) == set(ROLES.values())


def test_graph_permissions_are_those_of_the_table() -> None:
    wanted = set(re.findall(r"^\| `(\w+\.Read\.All)` \|", PERMISSIONS, re.MULTILINE))
    for name in ("graph.bicep", "grant-permissions.sh"):
        assert set(re.findall(r"\b(\w+\.Read\.All)\b", (INFRA / name).read_text())) == wanted


def test_the_hub_is_the_one_that_the_function_reads_and_has_no_keys() -> None:
    (namespace,) = resources(EVERYTHING, "Microsoft.EventHub/namespaces")
    assert namespace["properties"]["disableLocalAuth"] is True
    assert namespace["sku"]["name"] == "Standard"
    (hub,) = resources(EVERYTHING, "Microsoft.EventHub/namespaces/eventhubs")
    (group,) = resources(EVERYTHING, "Microsoft.EventHub/namespaces/eventhubs/consumergroups")
    code = (ROOT / "function_app.py").read_text()
    assert f'event_hub_name="{last(hub["name"])}"' in code
    assert f'consumer_group="{last(group["name"])}"' in code
    assert last(hub["name"]) == delivery.HUB
    assert hub["properties"]["partitionCount"] == COUNT
    assert hub["properties"]["retentionDescription"]["retentionTimeInHours"] == 7 * 24
    assert resources(MAIN, "Microsoft.EventHub/namespaces") == []


def test_graph_may_create_its_topic_where_it_delivers_to_one() -> None:
    (configuration,) = resources(EVENT_GRID, "Microsoft.EventGrid/partnerConfigurations")
    (partner,) = configuration["properties"]["partnerAuthorization"]["authorizedPartnersList"]
    assert partner["partnerName"] == "MicrosoftGraphAPI"
    assert resources(MAIN, "Microsoft.EventGrid/partnerConfigurations") == []


def test_an_instance_waits_only_for_webhooks() -> None:
    (app,) = resources(EVENT_GRID, "Microsoft.Web/sites")
    assert app["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"] == []


@compiles
def test_in_us_government_a_hub_has_that_clouds_addresses(tmp_path: Path) -> None:
    snapshot, problem = tried(
        tmp_path,
        "param graphCloud = 'usgov'",
        "param delivery = 'event-hubs'",
        f"param changeTrackingPrincipalId = '{GRAPH}'",
        "param privateNetwork = true",
    )
    assert problem == ""
    assert not re.findall(r"windows\.net|azure\.com", snapshot.read_text())
    assert app_settings(snapshot)["DELIVERY"] == "event-hubs"


def test_in_us_government_nothing_is_in_the_public_cloud() -> None:
    text = US_GOVERNMENT.read_text()
    assert not re.findall(r"windows\.net|azure\.com|vault\.azure\.net", text)


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda file: file.name)
def test_us_government_takes_the_versions_that_are_asked_for(snapshot: Path) -> None:
    """The newest that usgovvirginia listed in 2026."""
    for each in resources(snapshot):
        provider = each["type"].split("/")[0]
        newest = {"Microsoft.Web": "2024-04-01", "Microsoft.Storage": "2025-06-01"}.get(
            provider, "2025-01-01"
        )
        assert each["apiVersion"] <= newest, each["type"]


@pytest.mark.parametrize("snapshot", [EVERYTHING, EXISTING_NETWORK], ids=lambda file: file.name)
def test_the_private_network_closes_storage_and_vault(snapshot: Path) -> None:
    for closed in (*accounts(snapshot), *resources(snapshot, "Microsoft.KeyVault/vaults")):
        assert closed["properties"]["publicNetworkAccess"] == "Disabled"
        assert closed["properties"]["networkAcls"]["defaultAction"] == "Deny"
    made = {}
    for each in resources(snapshot, "Microsoft.Network/privateEndpoints"):
        (connection,) = each["properties"]["privateLinkServiceConnections"]
        module = re.findall(r"\('([a-z]+)-\{0\}'", connection["properties"]["privateLinkServiceId"])[0]
        made[connection["name"]] = (module, *connection["properties"]["groupIds"])
    assert made == {
        "host-blob": ("host", "blob"),
        "host-queue": ("host", "queue"),
        "host-table": ("host", "table"),
        "data-blob": ("data", "blob"),
        "key-vault": ("vault", "vault"),
        **({"hub-namespace": ("hub", "namespace")} if snapshot == EVERYTHING else {}),
    }
    groups = resources(snapshot, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    assert len(groups) == len(made)


def test_a_new_network_has_the_address_space_that_is_asked_for() -> None:
    (network,) = resources(EVERYTHING, "Microsoft.Network/virtualNetworks")
    subnets = {each["name"]: each["properties"] for each in network["properties"]["subnets"]}
    assert network["properties"]["addressSpace"] == {"addressPrefixes": ["10.20.0.0/24"]}
    assert subnets["app"]["addressPrefix"] == "10.20.0.0/26"
    assert subnets["app"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert subnets["endpoints"]["addressPrefix"] == "10.20.0.64/27"
    assert len(resources(EVERYTHING, "Microsoft.Network/privateDnsZones")) == 5


def test_in_an_existing_network_nothing_but_endpoints_and_their_records_is_made() -> None:
    made = {
        each["type"] for each in resources(EXISTING_NETWORK) if each["type"].startswith("Microsoft.Network/")
    }
    assert made == {
        "Microsoft.Network/privateEndpoints",
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    }
    for each in resources(EXISTING_NETWORK, "Microsoft.Network/privateEndpoints"):
        assert each["properties"]["subnet"]["id"].endswith("/subnets/endpoints")
    for each in resources(EXISTING_NETWORK, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        (zone,) = each["properties"]["privateDnsZoneConfigs"]
        assert (
            f"/rg-dns/providers/Microsoft.Network/privateDnsZones/privatelink.{zone['name']}"
            in zone["properties"]["privateDnsZoneId"]
        )


@compiles
def test_without_zones_no_dns_record_is_made(tmp_path: Path) -> None:
    network = "{ appSubnetId: '/subscriptions/s/app', endpointSubnetId: '/subscriptions/s/endpoints' }"
    parameters = ("param privateNetwork = true", f"param existingNetwork = {network}")
    snapshot, problem = tried(tmp_path, *parameters)
    assert problem == ""
    made = [each["type"] for each in resources(snapshot) if each["type"].startswith("Microsoft.Network/")]
    assert made == ["Microsoft.Network/privateEndpoints"] * 5


@compiles
def test_what_is_off_by_default_can_be_on_and_the_other_way_round(tmp_path: Path) -> None:
    parameters = ("param recoverVault = true", "param diagnostics = []", "param logDailyCapGB = 0")
    snapshot, problem = tried(tmp_path, *parameters)
    assert problem == ""
    (vault,) = resources(snapshot, "Microsoft.KeyVault/vaults")
    (workspace,) = resources(snapshot, "Microsoft.OperationalInsights/workspaces")
    assert vault["properties"]["createMode"] == "recover"
    assert workspace["properties"]["workspaceCapping"] == {"dailyQuotaGb": -1}
    assert resources(snapshot, "Microsoft.Insights/diagnosticSettings") == []


def test_with_call_events_there_is_a_key_that_cannot_leave_and_without_there_is_none() -> None:
    (key,) = resources(EVERYTHING, "Microsoft.KeyVault/vaults/keys")
    assert key["properties"]["kty"] == "RSA"
    assert key["properties"]["attributes"]["exportable"] is False
    assert resources(MAIN, "Microsoft.KeyVault/vaults/keys") == []


def test_the_app_is_what_the_code_needs() -> None:
    (app,) = resources(MAIN, "Microsoft.Web/sites")
    config = app["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": (ROOT / ".python-version").read_text().strip()}
    assert config["scaleAndConcurrency"]["alwaysReady"] == [{"name": "http", "instanceCount": 1}]
    assert app["properties"]["httpsOnly"] is True


def test_who_may_deploy_to_the_app_and_call_it() -> None:
    (anyone,) = resources(MAIN, "Microsoft.Web/sites")
    config = anyone["properties"]["siteConfig"]
    assert (config["ipSecurityRestrictionsDefaultAction"], config["scmIpSecurityRestrictionsUseMain"]) == (
        "Allow",
        False,
    )
    (listed,) = resources(EVERYTHING, "Microsoft.Web/sites")
    config = listed["properties"]["siteConfig"]
    assert (config["ipSecurityRestrictionsDefaultAction"], config["scmIpSecurityRestrictionsUseMain"]) == (
        "Deny",
        True,
    )


def test_every_function_that_calls_graph_has_a_share_of_the_budget() -> None:
    """Add new functions here or in `app.bicep`: Flex scales each group separately."""
    module = (INFRA / "modules/app.bicep").read_text()
    groups, timers = (
        set(re.findall(r"'(\w+)'", re.findall(rf"^var {name} = \[([^\]]+)\]", module, re.MULTILINE)[0]))
        for name in ("groups", "timers")
    )
    http = {"receive_notifications", "receive_lifecycle", "health"}
    silent = {
        "bury_poison",
        "sweep",
        "receive_events",
        "receive_grid_events",
    }  # these read and write storage and queues alone
    names = set(re.findall(r'function_name\("(\w+)"\)', (ROOT / "function_app.py").read_text()))
    assert "http" in groups
    assert http | (groups - {"http"}) | timers | silent == names


@pytest.mark.parametrize(
    ("snapshot", "budget"),
    [(MAIN, 75), (US_GOVERNMENT, 75), (EVERYTHING, 300), (EVENT_GRID, 75)],
    ids=["main", "usgov", "everything", "event grid"],
)
def test_all_instances_together_stay_within_the_budget_for_graph(snapshot: Path, budget: int) -> None:
    (app,) = resources(snapshot, "Microsoft.Web/sites")
    scale = app["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    always = sum(each["instanceCount"] for each in scale["alwaysReady"])
    instances = 3 * scale["maximumInstanceCount"] + always + 1  # http, archive_reports, do_upkeep; one timer
    rate = float(app_settings(snapshot)["GRAPH_RATE"])
    assert rate * instances <= budget
    assert (rate + 0.01) * instances > budget


def test_the_default_instance_is_small_and_its_rate_of_use() -> None:
    (app,) = resources(MAIN, "Microsoft.Web/sites")
    assert app["properties"]["functionAppConfig"]["scaleAndConcurrency"]["instanceMemoryMB"] == 512
    assert app_settings(MAIN)["GRAPH_RATE"] == "2.34"


def test_who_used_vault_and_reports_is_put_down_as_asked() -> None:
    audited = {}
    for snapshot in (MAIN, EVERYTHING):
        audits = resources(snapshot, "Microsoft.Insights/diagnosticSettings")
        audited[snapshot] = {log["category"] for each in audits for log in each["properties"]["logs"]}
    assert audited[MAIN] == {"AuditEvent"}
    assert audited[EVERYTHING] == {"AuditEvent", "StorageRead", "StorageWrite", "StorageDelete"}


def test_logs_have_a_daily_cap() -> None:
    for snapshot, most in ((MAIN, 1), (EVERYTHING, 10)):
        (workspace,) = resources(snapshot, "Microsoft.OperationalInsights/workspaces")
        assert workspace["properties"]["workspaceCapping"] == {"dailyQuotaGb": most}


def test_redundancy_is_a_choice() -> None:
    assert [each["sku"]["name"] for each in accounts(MAIN)] == ["Standard_ZRS"] * 2
    assert [each["sku"]["name"] for each in accounts(EVERYTHING)] == ["Standard_GZRS"] * 2


@compiles
def test_the_outputs_are_those_that_others_read() -> None:
    assert set(compiled()["outputs"]) == {
        *("AZURE_RESOURCE_GROUP", "AZURE_FUNCTION_APP_NAME", "NOTIFICATION_BASE_URL"),
        *("IDENTITY_CLIENT_ID", "IDENTITY_PRINCIPAL_ID"),
        *("STORAGE_ACCOUNT", "HOST_STORAGE_ACCOUNT", "KEY_VAULT_NAME"),
        *("DELIVERY", "PARTNER_TOPIC_NAME"),
    }


@pytest.mark.parametrize("file", sorted((INFRA / "queries").glob("*.kql")), ids=lambda file: file.name)
def test_a_query_asks_for_tables_columns_and_events_that_exist(file: Path) -> None:
    text = file.read_text()
    tables = set(re.findall(r"\b(App[A-Z]\w+)\b", text))
    assert tables <= set(COLUMNS)
    (table,) = tables
    columns = set(
        re.findall(r"\b(TimeGenerated|Message|Success|Name|ResultCode|\w*(?<=\s)Properties)\b", text)
    )
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
    names = {file.stem for file in (INFRA / "queries").glob("*.kql")}
    rules = {
        each["name"].removeprefix("attendance-"): each["properties"]
        for each in resources(MAIN, "Microsoft.Insights/scheduledQueryRules")
    }
    assert set(rules) == names
    for name, rule in rules.items():
        (criterion,) = rule["criteria"]["allOf"]
        assert criterion["query"] == (INFRA / f"queries/{name}.kql").read_text()
        assert f"infra/queries/{name}.kql" in rule["description"]
    (workbook,) = resources(MAIN, "Microsoft.Insights/workbooks")
    shown = json.loads(workbook["properties"]["serializedData"])
    assert shown["version"] == "Notebook/1.0"
    introduction, *questions = shown["items"]
    assert (introduction["type"], set(introduction["content"])) == (1, {"json"})
    assert {each["type"] for each in questions} == {3}
    assert [each["content"]["query"] for each in questions] == [
        rule["criteria"]["allOf"][0]["query"] for rule in rules.values()
    ]


def test_an_alert_says_that_it_fires_on_the_first_day() -> None:
    silent = {  # of what an app has that nobody has granted or sent anything yet
        *("subscription-expiring", "wrong-client-state", "invented-news"),
        *("buried", "failed-outcomes", "function-failing"),
    }
    (workbook,) = resources(MAIN, "Microsoft.Insights/workbooks")
    introduction = json.loads(workbook["properties"]["serializedData"])["items"][0]["content"]["json"]
    for each in resources(MAIN, "Microsoft.Insights/scheduledQueryRules"):
        warned = " On the first day: " in each["properties"]["description"]
        assert warned is (each["name"].removeprefix("attendance-") not in silent), each["name"]
        assert (each["properties"]["displayName"] in introduction) is warned


def test_no_alert_is_evaluated_so_often_that_it_costs_more() -> None:
    for each in resources(MAIN, "Microsoft.Insights/scheduledQueryRules"):
        assert each["properties"]["evaluationFrequency"] in {"PT15M", "PT30M", "PT1H", "PT6H"}


def test_many_refused_organizers_are_one_finding() -> None:
    few, many = (
        (INFRA / f"queries/{name}.kql").read_text() for name in ("access-denied", "access-denied-widely")
    )
    assert "where tenant == 0 and organizers < 5" in few
    assert "where organizers >= 5 or tenant > 0" in many
    assert re.search(r"^\| summarize ", many, re.MULTILINE)


def test_the_access_policy_is_granted_in_each_cloud() -> None:
    script = (INFRA / "grant-access-policy.ps1").read_text()
    (clouds,) = re.findall(r"ValidateSet\(([^)]+)\)\] \[string\] \$Cloud", script)
    assert set(re.findall(r"'(\w+)'", clouds)) == set(settings.CLOUDS)
    assert dict(re.findall(r"'(\w+)' \{ @\{ TeamsEnvironmentName = '(\w+)' \} \}", script)) == {
        "usgov": "TeamsGCCH",
        "usgovdod": "TeamsDOD",
    }
