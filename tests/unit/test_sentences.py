"""A sentence that people read about health stands in one place, and nowhere twice."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Modules that read, decide or print what is wrong, and leave the wording to health/findings.py and diagnosis.py.
WITHOUT_SENTENCES = [
    *(SHARED / "health" / f"{name}.py" for name in ("endpoint", "readings", "parallel_reads", "self_check")),
    *(SHARED / "subscriptions" / f"{name}.py" for name in ("desired", "handshake", "plan", "status")),
    *(SHARED / "cli" / "commands" / f"{name}.py" for name in ("doctor", "explain", "status")),
]
CODE = [
    *(
        file
        for folder in ("shared", "local", "benchmarks")
        for file in (SHARED.parent / folder).rglob("*.py")
    ),
    SHARED.parent / "function_app.py",
]
FIRST_LINE = 80  # characters
SENTENCE = re.compile(r"(?:^|(?<=\. ))[A-Z][^.]*(?:\.[^. ]+)*\.(?= |$)")
MANY_WORDS = 6


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Every sentence in a module's strings.

    Except docstrings, errors, help texts and notices of empty lists.
    """
    tree = ast.parse(path.read_bytes())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.Raise) or (
            isinstance(node, ast.keyword) and node.arg in {"help", "if_empty"}
        ):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        text = ""
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
            skipped.update(node.values)
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        yield from ((getattr(node, "lineno", 0), each) for each in SENTENCE.findall(text))


@pytest.mark.parametrize("path", WITHOUT_SENTENCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sentences_about_health_stand_in_findings_and_diagnosis_alone(path: Path) -> None:
    assert list(sentences(path)) == []


def test_no_sentence_stands_twice() -> None:
    places = defaultdict(list)
    for path in sorted(SHARED.rglob("*.py")):
        for line, sentence in sentences(path):
            if len(sentence.split()) >= MANY_WORDS:
                places[sentence].append(f"{path.relative_to(SHARED)}:{line}")
    assert {sentence: where for sentence, where in places.items() if len(where) > 1} == {}
    assert len(places) > 20


def test_the_search_sees_a_sentence_in_an_f_string(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Doc. String."""\nx = f"The {y} is not well. See the log."\nraise E("It is an error.")\n'
    )
    assert list(sentences(module)) == [(2, "The … is not well."), (2, "See the log.")]


def test_the_first_line_of_a_docstring_is_short() -> None:
    nodes = [(file, node) for file in CODE for node in ast.walk(ast.parse(file.read_bytes()))]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [(file, ast.get_docstring(node) or "") for file, node in nodes if isinstance(node, kinds)]
    first = [(str(file), text.split("\n")[0]) for file, text in found]
    assert [each for each in first if len(each[1]) > FIRST_LINE] == []
