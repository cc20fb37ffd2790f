"""The documents as a site: built without a warning, and no link on it is dead."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.heavy("needs the site's builder, which only `make check` installs")

ROOT = Path(__file__).resolve().parents[2]
FORMS = [file for file in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"]
STAGED = ("scripts/site", "mkdocs.yml", "infra/main.bicepparam", "LICENSE")


class Page(HTMLParser):
    """The ids of a page, and the addresses that it links to or loads."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if name := given.get("id"):
            self.ids.add(name)
        address = given.get("src") or given.get("href")
        if address:
            self.links.append(address)
            if tag in ("script", "img", "iframe") or (tag == "link" and given.get("rel") == "stylesheet"):
                self.loads.append(address)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages, and of all to which they may link."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("benchmarks", "docs", "examples", "schemas", "tests/model", ".devcontainer"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*STAGED, *(page.name for page in ROOT.glob("*.md"))):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def site(checkout: Path) -> Path:
    done = build(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    return checkout / ".local/site/html"


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "scripts/site")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_document_is_a_page(site: Path) -> None:
    documents = [
        page.relative_to(ROOT)
        for folder in (".", "benchmarks", "docs", "docs/measured", "examples", "schemas")
        for page in (ROOT / folder).glob("*.md")
    ]
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    for document in documents:
        name = "index" if document.stem in ("README", "index") else document.stem
        assert document.with_name(f"{name}.html").as_posix() in pages
    start = Page(site / "index.html")
    assert "docs/guarantees.html" in start.links, "it is in the navigation"


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}
    assert len(pages) > 25
    dead = [
        f"{file.relative_to(site)}: {link}"
        for file, page in pages.items()
        for link in page.links
        if not leads_somewhere(file, link, pages)
    ]
    assert dead == []
    assert [each for page in pages.values() for each in page.loads if "//" in each] == []


def leads_somewhere(file: Path, link: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return parts.scheme == "https"
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if target.is_dir():
        target /= "index.html"
    known = pages.get(target)
    return target.exists() and (not parts.fragment or known is None or unquote(parts.fragment) in known.ids)


@pytest.mark.parametrize(
    "wrong",
    ["[a](nowhere.md)", "[a](cost.md#nowhere)", "[a](/docs/cost.md)", "![a](pictures/none.png)"],
)
def test_a_page_with_a_dead_link_is_not_built(checkout: Path, wrong: str) -> None:
    page = checkout / "docs/cost.md"
    before = page.read_text()
    page.write_text(f"{before}\n{wrong}\n")
    try:
        assert build(checkout).returncode == 1
    finally:
        page.write_text(before)


def test_a_document_that_the_navigation_lacks_is_not_built(checkout: Path) -> None:
    extra = checkout / "docs/extra.md"
    extra.write_text("# Extra\n")
    try:
        assert build(checkout).returncode == 1
    finally:
        extra.unlink()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_an_issue_form_is_one(form: Path) -> None:
    import yaml  # comes with the site's builder

    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= content.keys()
    fields = [each for each in content["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields) > 1
    assert all(each["attributes"]["label"] for each in fields)
