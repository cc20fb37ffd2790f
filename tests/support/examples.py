"""The programs in examples/, imported as from their folder."""

import importlib.util
import sys
from types import ModuleType

from local.stack.program import ROOT

EXAMPLES = ROOT / "examples"


def example(name: str) -> ModuleType:
    """The module of an example, such as `incremental` or `event_grid/function_app`."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    spec = importlib.util.spec_from_file_location(
        f"example_{name.replace('/', '_')}", EXAMPLES / f"{name}.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
