"""The environment of the Functions host: app settings with local addresses.

What the environment of the stack gives wins over a default here, except for what only the stack can know: how
to reach the identity endpoint, and whom to trust. docs/settings.md describes each name.
"""

from collections.abc import Mapping

from local.sign_in.metadata import AUTHORITIES
from local.stack.azurite import Azurite
from local.stack.identity import CLIENT_ID, TENANT, Identity
from shared.settings import CLOUDS, TABLE

# Graph's address is the audience of its tokens too, so it stays the cloud's when GRAPH_ROOT leads elsewhere.
AUDIENCES = {
    "global": "https://graph.microsoft.com",
    "usgov": "https://graph.microsoft.us",
    "usgovdod": "https://dod-graph.microsoft.us",
}


HUB_SUFFIXES = {name: cloud.hub_suffix for name, cloud in CLOUDS.items()}
TOPIC = (
    "EventGrid:?azuresubscriptionid=00000000-0000-4000-8000-000000000000&resourcegroup=rg-attendance"
    "&partnertopic=attendance&location=westeurope"
)


def with_defaults(given: Mapping[str, str]) -> dict[str, str]:
    """The given settings, and the defaults that depend on no address."""
    # No proxy of this machine's environment knows a way to the loopback address. Both spellings are in use.
    cloud = given.get("GRAPH_CLOUD", "global")
    direct = ",".join(filter(None, [given.get("NO_PROXY"), given.get("no_proxy"), "127.0.0.1,localhost"]))
    return {
        "ATTENDANCE_CONTAINER": "attendance",
        "GRAPH_CLOUD": "global",
        "AZURE_CLIENT_ID": CLIENT_ID,
        "TENANT_ID": TENANT,
        "SIGNALS": "call-records",
        "GraphEventHub__fullyQualifiedNamespace": f"attendance.{HUB_SUFFIXES.get(cloud, HUB_SUFFIXES['global'])}",
        "PARTNER_TOPIC": TOPIC,
        "GRAPH_RATE": "200",
        "MAINTAIN_SCHEDULE": "0 */15 * * * *",
        "SWEEP_SCHEDULE": "0 0 * * * *",
        "LOCAL_LEASE_SECONDS": "10",
        "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        "PYTHONUNBUFFERED": "1",
        **given,
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def audience(settings: Mapping[str, str]) -> str:
    """The audience of Graph's tokens in the cloud of these settings."""
    return AUDIENCES.get(settings["GRAPH_CLOUD"], AUDIENCES["global"])


def authority(settings: Mapping[str, str]) -> str:
    """The authority that issues the tokens of the cloud of these settings."""
    return AUTHORITIES.get(settings["GRAPH_CLOUD"], AUTHORITIES["global"])


def with_addresses(
    settings: Mapping[str, str],
    *,
    azurite: Azurite,
    identity: Identity,
    graph_root: str,
    login_root: str = "",
    functions_url: str,
    client_state: str,
    erasure_key: str,
) -> dict[str, str]:
    """The complete environment, once every part's address is known."""
    environment = {
        "AzureWebJobsStorage__blobServiceUri": azurite.state_url,
        "AzureWebJobsStorage__queueServiceUri": azurite.queue_url,
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": identity.client_id,
        "AttendanceStorage__blobServiceUri": azurite.blob_url,
        "AttendanceStorage__credential": "managedidentity",
        "AttendanceStorage__clientId": identity.client_id,
        "GRAPH_ROOT": graph_root,
        **({"LOGIN_ROOT": login_root} if login_root else {}),
        "NOTIFICATION_BASE_URL": f"{functions_url}/api",
        "CLIENT_STATE": client_state,
        "ERASURE_KEY": erasure_key,
        **settings,
        # Trusts Azurite's certificate beside all that was trusted before.
        "REQUESTS_CA_BUNDLE": str(azurite.ca),
        "SSL_CERT_FILE": str(azurite.ca),
        "IDENTITY_ENDPOINT": identity.endpoint,
        "IDENTITY_HEADER": identity.header,
    }
    # Azure's name for the app's public host: set, it would be taken for the address of the webhooks.
    environment.pop("WEBSITE_HOSTNAME", None)
    return environment


def for_people(environment: Mapping[str, str]) -> list[dict[str, str]]:
    """The settings as `az functionapp config appsettings list` prints them.

    Without secrets but the stack's own ERASURE_KEY, to which Azure's settings refer in Key Vault. With them is what
    Azure has no need to say: where the identity endpoint is, and whom to trust.
    """
    secrets = {setting.name for setting in TABLE if setting.secret} - {"ERASURE_KEY"}
    names = [setting.name for setting in TABLE if setting.name not in secrets]
    names += ["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE", "NO_PROXY", "no_proxy"]
    return [{"name": name, "value": environment[name]} for name in names if name in environment]
