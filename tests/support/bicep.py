"""Microsoft's Bicep compiler, if it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
GRAPH_EXTENSION = "microsoft-graph-v1.0-1.0.0.tgz"


@cache
def compiler() -> Path | None:
    """`$BICEP`, or one on PATH, of the Azure CLI, or beside the checkout."""
    given, found = os.environ.get("BICEP"), shutil.which("bicep")
    candidates = [
        Path(given) if given else None,
        Path(found) if found else None,
        Path.home() / ".azure/bin/bicep",
        ROOT.parent / "shared/tools/bicep",
    ]
    return next((each for each in candidates if each and each.is_file()), None)


def graph_extension() -> Path | None:
    """The Microsoft Graph extension as a file, for a machine that cannot fetch it."""
    there = compiler()
    found = there.parent / GRAPH_EXTENSION if there else None
    return found if found and found.is_file() else None


def bicep(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_TieredPGO": "0"}
    command = [str(compiler()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@cache
def compiled() -> dict[str, Any]:
    """The template that main.bicep compiles to."""
    done = bicep("build", INFRA / "main.bicep", "--stdout")
    assert done.returncode == 0, done.stderr
    template: dict[str, Any] = json.loads(done.stdout)
    return template
