"""Branch coverage of chosen modules, by Python's own monitoring (PEP 669)."""

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

TOOL = sys.monitoring.COVERAGE_ID
_FORKS = ("POP_JUMP_IF_", "FOR_ITER")

type Branch = tuple[CodeType, int, int]  # code, offset of the fork, where it went


class Branches:
    """The forks of some modules' functions; `taken`: the branches taken so far."""

    def __init__(self, modules: dict[ModuleType, tuple[str, ...]]) -> None:
        """Of a module all functions are watched, or those that are named."""
        self._codes = [code for module, names in modules.items() for code in _codes_of(module, names)]
        self.forks = {(code, offset) for code in self._codes for offset in _forks(code)}
        self.taken: set[Branch] = set()
        self.new = False

    def __enter__(self) -> "Branches":
        sys.monitoring.use_tool_id(TOOL, "fuzzing")
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.BRANCH, self._took)
        for code in self._codes:
            sys.monitoring.set_local_events(TOOL, code, sys.monitoring.events.BRANCH)
        return self

    def __exit__(self, *_: object) -> None:
        for code in self._codes:
            sys.monitoring.set_local_events(TOOL, code, 0)
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.BRANCH, None)
        sys.monitoring.free_tool_id(TOOL)

    def _took(self, code: CodeType, offset: int, destination: int) -> Any:
        branch = (code, offset, destination)
        if branch in self.taken:
            return None
        self.taken.add(branch)
        self.new = True
        both = sum(1 for each in self.taken if each[:2] == branch[:2]) > 1
        return sys.monitoring.DISABLE if both else None  # what went both ways need not be watched any more

    @property
    def reached(self) -> int:
        """How many ways of the forks were taken."""
        return len({branch for branch in self.taken if branch[:2] in self.forks})

    @property
    def total(self) -> int:
        """Two for each fork."""
        return 2 * len(self.forks)

    def untaken(self) -> list[str]:
        """Where a fork went one way only, or no way: `module.function, line`."""
        ways = dict.fromkeys(self.forks, 0)
        for code, offset, _ in self.taken:
            if (code, offset) in ways:
                ways[code, offset] += 1
        found = [
            f"{code.co_filename.rsplit('/', 1)[1].removesuffix('.py')}.{code.co_qualname}, line {_line(code, offset)}"
            for (code, offset), count in ways.items()
            if count < 2
        ]
        return sorted(set(found))


def _codes_of(module: ModuleType, names: tuple[str, ...]) -> Iterator[CodeType]:
    for name, value in vars(module).items():
        if names and name not in names:
            continue
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            yield from _nested(value.__code__)
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for member in vars(value).values():
                function = getattr(member, "fget", member)
                code = getattr(function, "__code__", None)
                if isinstance(code, CodeType) and code.co_filename == module.__file__:
                    yield from _nested(code)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _forks(code: CodeType) -> Iterator[int]:
    """Every fork except that of an `except`, whose other way is unexpected."""
    before = ""
    for instruction in dis.get_instructions(code):
        named = instruction.positions and instruction.positions.lineno
        if instruction.opname.startswith(_FORKS) and named and before != "CHECK_EXC_MATCH":
            yield instruction.offset
        before = instruction.opname


def _line(code: CodeType, offset: int) -> int:
    lines = [line for start, end, line in code.co_lines() if start <= offset < end and line]
    return lines[0] if lines else code.co_firstlineno
