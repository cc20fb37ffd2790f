"""App settings of the Functions host: the environment's, or the stack's own."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from local.stack import app_settings
from local.stack.azurite import Azurite
from local.stack.identity import Identity
from shared import settings

if TYPE_CHECKING:
    from local.stack.program import Program

AZURITE = Azurite(
    "https://127.0.0.1:1/data",
    "https://127.0.0.1:1/host",
    "https://127.0.0.1:2/host",
    Path("ca.pem"),
    Path("server.pem"),
    cast("Program", None),
)


def environment(given: dict[str, str]) -> dict[str, str]:
    return app_settings.with_addresses(
        app_settings.with_defaults(given),
        azurite=AZURITE,
        identity=Identity("http://127.0.0.1:3/msi/token", "tenant", "client", 60),
        graph_root="http://127.0.0.1:4",
        functions_url="http://127.0.0.1:5",
        client_state="generated-for-this-stack-0123456789",
        erasure_key="generated-for-erasures-0123456789abcdef",
    )


def test_the_defaults_are_settings_that_the_product_takes() -> None:
    loaded = settings.load(environment({}))
    assert loaded.notification_base_url == "http://127.0.0.1:5/api"
    assert loaded.blob_url == "https://127.0.0.1:1/data"
    assert (loaded.state_url, loaded.queue_url) == ("https://127.0.0.1:1/host", "https://127.0.0.1:2/host")


def test_the_environment_wins_over_a_default() -> None:
    given = {
        "CLIENT_STATE": "of-my-own",
        "SIGNALS": "call-events",
        "GRAPH_RATE": "3",
        "RETRY_FIRST_DELAY": "1",
    }
    assert given.items() <= environment(given).items()


def test_what_only_the_stack_knows_is_never_taken_from_the_environment() -> None:
    stale = {"IDENTITY_HEADER": "stale", "IDENTITY_ENDPOINT": "stale", "REQUESTS_CA_BUNDLE": "stale"}
    settled = environment({**stale, "SSL_CERT_FILE": "stale", "WEBSITE_HOSTNAME": "stale"})
    assert "stale" not in settled.values()
    assert settled["REQUESTS_CA_BUNDLE"] == settled["SSL_CERT_FILE"] == "ca.pem"


def test_a_proxy_keeps_its_exceptions_and_never_gets_loopback_calls() -> None:
    settled = environment({"no_proxy": "intranet.example"})
    assert settled["NO_PROXY"] == settled["no_proxy"] == "intranet.example,127.0.0.1,localhost"


def test_graphs_tokens_are_for_the_cloud_of_the_settings() -> None:
    chosen = app_settings.with_defaults({"GRAPH_CLOUD": "usgov"})
    assert app_settings.audience(chosen) == "https://graph.microsoft.us"
