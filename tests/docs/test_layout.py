"""Imports between product, local stack, tests and benchmarks."""

import ast

import pytest

from local.stack.program import ROOT

# Where there is code, and which of the project's own packages it may import; the nearest folder counts.
MAY_IMPORT = {
    "function_app.py": {"shared"},
    "shared": {"shared"},
    "scripts": {"deployment", "shared"},
    "local": {"local", "shared"},
    "local/simulator": {"local"},  # no code of the product, whose misreadings must show
    "local/sign_in": {"local"},
    "local/host": {"local"},
    "tests": {"deployment", "function_app", "local", "shared", "tests"},
    "tests/benchmarks": {"benchmarks", "deployment", "function_app", "local", "shared", "tests"},
    "benchmarks": {"benchmarks", "function_app", "local", "shared", "tests"},
}
OWN = set().union(*MAY_IMPORT.values())
FILES = [
    path.relative_to(ROOT).as_posix()
    for top in sorted({place.partition("/")[0] for place in MAY_IMPORT})
    for path in [ROOT / top, *sorted((ROOT / top).rglob("*.py"))]
    if path.suffix == ".py"
]


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_code_imports_only_what_its_place_allows(place: str) -> None:
    files = [each for each in FILES if place == max(filter(each.startswith, MAY_IMPORT), key=len, default="")]
    assert files
    wrong = []
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            tops = {name.partition(".")[0] for name in names}
            wrong += [f"{file} imports {top}" for top in tops & OWN - MAY_IMPORT[place]]
    assert wrong == []
