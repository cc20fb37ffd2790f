"""Tables by the members of an enumeration, which a new member must not break."""

import importlib
import pkgutil
from enum import Enum

import shared

# These are read with `get`, or never asked for the members that they lack.
PARTIAL = {
    "shared.cli.commands.export._TYPES": {"xlsx"},  # refused where a blob is written
    "shared.doors.notifications._ITEMS_OF_EVENT": {"webhook"},  # brings POSTs, and no events
}
READ_WITH_GET = {
    "shared.health.explanation._PLAIN_ATTEMPTS",
    "shared.health.explanation._ATTEMPTS",
    "shared.health.explanation._FINALLY",
}


def test_each_table_has_an_entry_for_every_member() -> None:
    lacking = {}
    modules = [each.name for each in pkgutil.walk_packages(shared.__path__, "shared.")]
    for module in filter(lambda name: not name.endswith("__main__"), modules):
        for name, table in vars(importlib.import_module(module)).items():
            kinds = {type(key) for key in table} if isinstance(table, dict) else set()
            for kind in kinds:
                if issubclass(kind, Enum) and kinds <= {kind, type(None)}:
                    lacking[f"{module}.{name}"] = {str(each) for each in kind if each not in table}
    assert len(lacking) > 10
    assert {
        name: values for name, values in lacking.items() if values and name not in READ_WITH_GET
    } == PARTIAL
