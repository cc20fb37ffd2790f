"""Imports: a light cold start, and one direction between packages."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

from tests.support.app_settings import ENVIRON

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "shared").rglob("*.py"))
}
# The stages through which a signal flows: each imports only from lines above its own.
LAYERS = (
    {"errors", "times", "logs", "limits", "settings"},
    {"bounded_http"},
    {"crypto", "messages"},
    {"doors", "graph"},
    {"privacy"},
    {"storage"},
    {"archive", "ledger"},
    {"days"},
    {"tables"},
    {"services"},
    {"archiving", "subscriptions"},
    {"reconcile"},
    {"health"},
    {"upkeep"},
    {"cli"},
)
HEAVY = (
    "azure.core",
    "azure.identity",
    "azure.storage",
    "requests",
    "urllib3",
    "msal",
    "cryptography",
    "jwt",
)
MOST_MODULES = 25  # that the webhooks load over azure.functions

# Runs both webhooks once, as the host does, in a process that has loaded nothing else; prints what they loaded.
WEBHOOKS = """
import json, sys
from types import SimpleNamespace as Named
import azure.functions as func
before = set(sys.modules)
import function_app

class Out(list):
    def set(self, value):
        self.extend(value)

def run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value

functions = {each.get_function_name(): each.get_user_function() for each in function_app.app.get_functions()}
context = Named(trace_context=Named(trace_parent=None))
statuses = []
for name in ("receive_notifications", "receive_lifecycle"):
    for file in ("call-record-created.json", "lifecycle-mixed.json", None):
        body = open(f"tests/events/{file}", "rb").read() if file else b""
        params = {} if file else {"validationToken": "t"}
        req = func.HttpRequest("POST", "https://app/api", params=params, body=body)
        signals, tasks = Out(), Out()
        statuses.append(run(functions[name](req, signals, tasks, context)).status_code)
print(json.dumps({"statuses": statuses, "all": sorted(sys.modules), "new": sorted(set(sys.modules) - before)}))
"""


def imported(module: str) -> set[str]:
    """The full names that a module imports, at its top or inside its functions."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names.update({f"{source}.{alias.name}" for alias in node.names} | {source})
    return names


def test_the_webhooks_load_nothing_that_talks_to_azure(
    record_property: Callable[[str, object], None],
) -> None:
    environ = {**os.environ, **ENVIRON, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", WEBHOOKS],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = json.loads(run.stdout)
    assert loaded["statuses"] == [202, 202, 200] * 2
    assert [name for name in loaded["all"] if name.startswith(HEAVY)] == []
    record_property("modules over azure.functions", len(loaded["new"]))
    assert len(loaded["new"]) <= MOST_MODULES, loaded["new"]


@pytest.mark.parametrize("module", MODULES)
def test_the_product_does_not_know_azure_functions(module: str) -> None:
    assert not any(name.startswith("azure.functions") for name in imported(module))


def test_imports_in_the_product_point_one_way() -> None:
    graph = {module: imported(module) & MODULES.keys() for module in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
    assert set(order) == MODULES.keys()


def test_a_package_imports_only_from_stages_before_its_own() -> None:
    stage = {unit: number for number, units in enumerate(LAYERS) for unit in units}
    wrong = []
    for module in MODULES.keys() - {"shared"}:
        unit = module.split(".")[1]
        for name in imported(module) & MODULES.keys() - {"shared"}:
            other = name.split(".")[1]
            if other != unit and not (stage[other] < stage[unit] or stage[other] == stage[unit] == 0):
                wrong.append(f"{module} imports {name}")
    assert wrong == []
    assert stage.keys() == {module.split(".")[1] for module in MODULES.keys() - {"shared"}}


def test_the_doors_are_imported_by_triggers_alone() -> None:
    assert [m for m in MODULES if not m.startswith("shared.doors") and "shared.doors" in imported(m)] == []


def test_imports_inside_the_product_are_relative() -> None:
    """The command line has another package name, so no module may name `shared`."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            assert not [name for name in names if name.split(".")[0] == "shared"], module


def test_packages_have_empty_init_modules() -> None:
    """Each line of one would cost the cold start."""
    filled = [m for m, path in MODULES.items() if path.name == "__init__.py" and path.read_bytes().strip()]
    assert filled == ["shared"]


def test_function_app_imports_only_what_the_webhooks_need_at_its_top() -> None:
    tree = ast.parse((ROOT / "function_app.py").read_bytes())
    top = {ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    assert top == {
        "import os",
        "from typing import List",
        "import azure.functions as func",
        "from shared import logs",
        "from shared.doors import webhook",
    }


def test_one_module_uses_arro3_and_imports_it_when_it_writes() -> None:
    """It costs 33 MB, and every start of another function would pay for it."""
    used = {
        (module, isinstance(node, ast.Module))
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_bytes()))
        for each in (node.body if isinstance(node, ast.Module | ast.FunctionDef) else ())
        if isinstance(each, ast.Import | ast.ImportFrom) and "arro3" in ast.unparse(each)
    }
    assert used == {("shared.tables.parquet", False)}


def test_a_class_name_exists_once() -> None:
    trees = {module: ast.parse(path.read_bytes()) for module, path in MODULES.items()}
    names = [
        node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    assert sorted(name for name, count in Counter(names).items() if count > 1) == []
