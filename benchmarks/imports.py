"""Cost of importing the app over a bare `import azure.functions`.

Both are compiled before, as a package of the app is; into a folder of this run, whatever the machine's setting.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 15
PROBE = """
import json, sys, time
before = set(sys.modules)
began = time.perf_counter()
import {module}
took = time.perf_counter() - began
files = [getattr(sys.modules[name], "__cached__", None) for name in set(sys.modules) - before]
from pathlib import Path
compiled = sum(Path(file).stat().st_size for file in files if file and Path(file).exists())
print(json.dumps([len(sys.modules), compiled, took]))
"""


def measured(module: str, compiled_to: str) -> tuple[int, int, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled_to},
        capture_output=True,
        check=True,
        timeout=60,
    )
    modules, compiled, took = json.loads(done.stdout)
    return modules, compiled, took


@dataclass(frozen=True)
class Imports:
    """Modules, byte code and seconds of a bare azure.functions and of the app.

    `ratio` is of times, by pairs.
    """

    bare: tuple[int, int, float]
    app: tuple[int, int, float]
    ratio: float


def run(runs: int = RUNS) -> Imports:
    """Measure pairs of processes, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        measured("function_app", folder)  # compiles
        pairs = [(measured("azure.functions", folder), measured("function_app", folder)) for _ in range(runs)]
    (bare_modules, bare_compiled, _), (app_modules, app_compiled, _) = pairs[-1]
    return Imports(
        (bare_modules, bare_compiled, statistics.median(took for (_, _, took), _ in pairs)),
        (app_modules, app_compiled, statistics.median(took for _, (_, _, took) in pairs)),
        statistics.median(app / bare for (_, _, bare), (_, _, app) in pairs),
    )


def lines(found: Imports) -> list[tuple[str, str, str]]:
    """What, measured, goal."""
    (bare_modules, bare_code, bare), (app_modules, app_code, app) = found.bare, found.app
    return [
        (
            "modules that the app imports, over azure.functions",
            f"{app_modules - bare_modules} more",
            "≤ 25 more",
        ),
        ("  azure.functions, the app", f"{bare_modules}, {app_modules}", ""),
        ("  byte code", f"{bare_code:,} B, {app_code:,} B: {app_code / bare_code:.2f} x", ""),
        ("  time", f"{bare * 1e3:.0f} ms, {app * 1e3:.0f} ms: {found.ratio:.2f} x", ""),
    ]


def main() -> None:
    for what, measured_, goal in lines(run()):
        print(f"{what:<52} {measured_:>30}  {goal}")


if __name__ == "__main__":
    main()
