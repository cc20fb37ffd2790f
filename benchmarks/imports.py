"""What importing the app costs over a bare `import azure.functions`: modules, byte code, time."""

import json
import statistics
import subprocess
import sys
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


def measured(module: str) -> tuple[int, int, float]:
    code = PROBE.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60)
    modules, compiled, took = json.loads(done.stdout)
    return modules, compiled, took


def main() -> None:
    runs = [(measured("azure.functions"), measured("function_app")) for _ in range(RUNS)]
    (bare_modules, bare_compiled, _), (app_modules, app_compiled, _) = runs[-1]
    bare = statistics.median(took for (_, _, took), _ in runs)
    app = statistics.median(took for _, (_, _, took) in runs)
    ratio = statistics.median(b / a for (_, _, a), (_, _, b) in runs)
    print(
        f"modules    azure.functions {bare_modules}, function_app {app_modules}: {app_modules - bare_modules} more"
    )
    print(f"byte code  azure.functions {bare_compiled:,} B, function_app {app_compiled:,} B")
    print(f"time       azure.functions {bare * 1e3:.0f} ms, function_app {app * 1e3:.0f} ms: x {ratio:.2f}")
    print(f"           (medians of {RUNS} pairs of processes, run in turn)")


if __name__ == "__main__":
    main()
