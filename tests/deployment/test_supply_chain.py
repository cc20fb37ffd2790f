"""Supply chain: known vulnerabilities, the bill of materials, updates, and what a workflow may do."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.http_server import QuietHandler, serving

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = re.findall(r"^requests==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[0]


@contextmanager
def advisories(status: int = 200, text: str = "", found: str = "") -> Iterator[str]:
    """An advisory service: `found` is a package with an advisory, `text` replaces the answer."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - the name http.server looks for
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            names = [each["package"]["name"] for each in queries]
            assert len(names) <= 1_000
            results = [{"vulns": [{"id": "GHSA-x"}]} if name == found else {} for name in names]
            body = (text or json.dumps({"results": results})).encode()
            self.answer(status, body)

    with serving(Handler) as url:
        yield f"{url}/"


def audit(service: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/audit"), "--service", service]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={"no_proxy": "*"}
    )


@pytest.mark.parametrize(
    ("package", "ecosystem"), [("requests", "PyPI"), ("azurite", "npm"), ("axe-core", "npm")]
)
def test_an_advisory_for_a_locked_package_fails_the_audit(package: str, ecosystem: str) -> None:
    with advisories(found=package) as service:
        done = audit(service)
    assert done.returncode == 1, done.stderr
    assert re.search(rf"^{ecosystem} {package} \d\S+: GHSA-x$", done.stdout, re.MULTILINE)


def test_without_advisories_the_audit_says_how_much_it_asked() -> None:
    with advisories() as service:
        done = audit(service)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d{3,} locked packages audited, 0 advisories\.$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("status", "text"),
    [(500, ""), (200, "no json"), (200, '{"results": []}'), (200, "[]"), (200, '{"results": 1}')],
)
def test_an_advisory_service_that_does_not_answer_is_said(status: int, text: str) -> None:
    with advisories(status, text) as service:
        done = audit(service)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NOT AUDITED: ")


def test_an_advisory_service_that_is_not_there_is_said() -> None:
    done = audit("http://127.0.0.1:1/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NOT AUDITED: ")


def test_ci_audits() -> None:
    assert "\nmake audit\n" in (ROOT / ".ci/run").read_text()


def package_script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("package_script", str(ROOT / "scripts/package"))
    spec = importlib.util.spec_from_loader("package_script", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_bill_of_materials_names_each_package_in_the_zip(tmp_path: Path) -> None:
    for name, version, more in (
        ("Foo_Bar", "1.0", "License-Expression: MIT"),
        ("baz", "2.0", "License: BSD 3-Clause\n  with more lines"),
        ("none", "3", "Summary: no license"),
    ):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\n")
    script = package_script()
    bill = script.bill_of_materials(tmp_path, "0" * 64)
    assert bill == script.bill_of_materials(tmp_path, "0" * 64)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    assert [(each["purl"], each.get("licenses")) for each in bill["components"]] == [
        ("pkg:pypi/baz@2.0", [{"license": {"name": "BSD 3-Clause"}}]),
        ("pkg:pypi/foo-bar@1.0", [{"expression": "MIT"}]),
        ("pkg:pypi/none@3", None),
    ]


def test_a_release_has_its_bill_of_materials_and_the_tested_bytes() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    build, publish = text.split("  publish:\n")
    before = ["The tag is the version", "make package", "make wheel", ".ci/run", "sha256sum"]
    assert [build.index(each) for each in before] == sorted(build.index(each) for each in before)
    order = [
        "needs: build",
        "make package",
        "make wheel",
        "sha256sum --check",
        "attest-build-provenance",
        "gh release create",
        "app.cdx.json",
        "*.whl",
        "SHA256SUMS\n",
    ]
    assert [publish.rindex(each) for each in order] == sorted(publish.rindex(each) for each in order)
    assert "subject-checksums: .local/package/SHA256SUMS" in publish


def test_a_job_may_do_what_it_needs_and_no_more() -> None:
    allowed = {
        "ci.yml": {"check": ["contents: read"], "install": ["contents: read"]},
        "deploy.yml": {
            "build": ["contents: read"],
            "what-if": ["actions: read", "contents: read", "id-token: write"],
            "deploy": ["actions: read", "contents: read", "id-token: write"],
        },
        "release.yml": {
            "build": ["contents: read"],
            "publish": ["attestations: write", "contents: write", "id-token: write"],
        },
    }
    found: dict[str, dict[str, list[str]]] = {}
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        head, _, text = file.read_text().partition("\njobs:\n")
        assert "\npermissions: {}\n" in head
        parts = re.split(r"^  ([\w-]+):\n", text, flags=re.MULTILINE)[1:]
        found[file.name] = {
            name: re.findall(r"^      ([\w-]+: (?:read|write))\b", job.split("    steps:\n")[0], re.MULTILINE)
            for name, job in zip(parts[::2], parts[1::2], strict=True)
        }
        assert text.count("uses: actions/checkout@") == text.count("persist-credentials: false")
        assert "pull_request_target" not in head
    assert found == allowed


def test_updates_are_proposed_for_actions_and_for_every_lock() -> None:
    text = (ROOT / ".github/dependabot.yml").read_text()
    updated = set(re.findall(r"package-ecosystem: ([\w-]+)\n    directory: (\S+)", text))
    assert updated == {
        ("github-actions", "/"),
        ("uv", "/"),
        ("npm", "/local/azurite"),
        ("npm", "/tests/axe"),
    }
    for lock in ROOT.glob("requirements*.txt"):  # Dependabot keeps both where the file says so
        head = lock.read_text()
        assert "--universal" in head.partition("==")[0]
        assert "--hash=sha256:" in head
