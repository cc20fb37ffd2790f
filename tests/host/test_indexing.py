"""The app indexes with requirements.txt alone, whatever the settings."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = {
    "receive_notifications",
    "receive_lifecycle",
    "archive_reports",
    "do_upkeep",
    "bury_poison",
    "sweep",
    "maintain_subscriptions",
    "health",
}
INDEX = """
import json, sys
from azure_functions_runtime import handle_event
from azure_functions_runtime.bindings import meta

class Message:
    def __init__(self, *_, **fields):
        self.__dict__.update(fields)

class protos:
    class BindingInfo(Message):
        undefined, out, inout = 0, 1, 2
    RpcFunctionMetadata = RpcRetryOptions = Message

handle_event.protos = protos
meta.load_binding_registry()
handle_event.load_function_metadata(sys.argv[1], caller_info="test")
print(json.dumps({each.name: each.raw_bindings for each in handle_event._metadata_result}))
"""


def index(
    python: Path, app: Path, *, path: str = "", environ: dict[str, str] | None = None
) -> dict[str, list[str]]:
    """What the runtime finds in the app: bindings by function."""
    done = subprocess.run(
        [python, "-c", INDEX, app],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=app,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{app}:{path}", **(environ or {})},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds what requirements.txt asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("deployed")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
    ]
    subprocess.run(
        [folder / "bin/python", *install, "-r", ROOT / "requirements.txt"], check=True, timeout=300
    )
    return folder


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that the platform brings along: its runtime, without our own."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in ("azure_functions_runtime", "azurefunctions"):
        (folder / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    return folder


@pytest.mark.heavy("downloads the packages of requirements.txt")
def test_the_app_indexes_with_nothing_but_requirements_txt_and_no_setting(
    deployed: Path, runtime: Path
) -> None:
    found = index(deployed / "bin/python", ROOT, path=str(runtime))
    assert set(found) == FUNCTIONS


@pytest.mark.heavy("downloads the packages of requirements.txt")
def test_the_workers_modules_import_with_nothing_but_requirements_txt(deployed: Path) -> None:
    code = "import shared.archiving.worker, shared.upkeep, shared.health.endpoint"
    subprocess.run([deployed / "bin/python", "-c", code], cwd=ROOT, check=True, timeout=60)


def test_wrong_settings_do_not_break_indexing() -> None:
    wrong = {
        "TENANT_ID": "x",
        "GRAPH_CLOUD": "mars",
        "NOTIFICATION_BASE_URL": "ftp://x",
        "CLIENT_STATE": "é" * 999,
    }
    assert set(index(Path(sys.executable), ROOT, environ=wrong)) == FUNCTIONS


def test_the_bindings_are_those_of_the_contract() -> None:
    found = {
        name: [json.loads(binding) for binding in bindings]
        for name, bindings in index(Path(sys.executable), ROOT).items()
    }

    def binding(function: str, kind: str) -> dict[str, object]:
        return next(each for each in found[function] if each["type"] == kind)

    for function, route in (("receive_notifications", "notifications"), ("receive_lifecycle", "lifecycle")):
        trigger = binding(function, "httpTrigger")
        assert (trigger["route"], trigger["methods"], trigger["authLevel"]) == (route, ["POST"], "ANONYMOUS")
    trigger = binding("health", "httpTrigger")
    assert (trigger["methods"], trigger["authLevel"]) == (["GET", "POST"], "FUNCTION")
    assert {name for name, each in found.items() if '"ANONYMOUS"' in json.dumps(each)} == {
        "receive_notifications",
        "receive_lifecycle",
    }
    assert binding("archive_reports", "queueTrigger")["queueName"] == "meeting-signals"
    assert binding("do_upkeep", "queueTrigger")["queueName"] == "upkeep"
    assert binding("maintain_subscriptions", "timerTrigger")["schedule"] == "%MAINTAIN_SCHEDULE%"
    assert binding("sweep", "timerTrigger")["schedule"] == "%SWEEP_SCHEDULE%"


def test_the_webhooks_are_coroutines_so_that_they_never_wait_for_a_workers_thread() -> None:
    code = (
        "import inspect, function_app\n"
        "for each in function_app.app.get_functions():\n"
        "    print(each.get_function_name(), inspect.iscoroutinefunction(each.get_user_function()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    kinds = dict(line.split() for line in done.stdout.splitlines())
    assert kinds["receive_notifications"] == kinds["receive_lifecycle"] == "True"
    assert kinds["archive_reports"] == kinds["do_upkeep"] == "False"
