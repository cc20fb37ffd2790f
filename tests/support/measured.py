"""Pages of measurements, with tables, plots, machine, versions and date."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("azure-functions", "azure-identity", "azure-storage-blob", "azure-storage-queue", "requests")


@dataclass(frozen=True)
class Times:
    """In one unit: of half, of 99 in 100, and of the last."""

    median: float
    p99: float
    last: float


def percentiles(times: Iterable[float]) -> Times:
    """Of times in any order; zeros where there are none."""
    found = sorted(times) or [0.0]
    return Times(found[len(found) // 2], found[int(len(found) * 0.99)], found[-1])


def machine() -> str:
    """One sentence: when, on what, with which versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GB, Python {platform.python_version()}, {versions}."
    )


def resident(process: int) -> float:
    """MiB of memory that a process has now."""
    told = Path(f"/proc/{process}/statm")
    if told.exists():
        return int(told.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    asked = ["ps", "-o", "rss=", "-p", str(process)]  # macOS
    return int(subprocess.run(asked, capture_output=True, check=True, timeout=10).stdout) / 1024


class Page:
    """A page that grows; `written` gives its text, and writes it with its plots."""

    def __init__(self, title: str, head: str) -> None:
        self._parts = [f"# {title}", head]
        self._plots: dict[str, Any] = {}

    def text(self, text: str) -> None:
        """A paragraph or a heading."""
        self._parts.append(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; cells that a row lacks at its end are empty."""
        filled = [[*row, *[""] * (len(columns) - len(row))] for row in rows]
        lines = [columns, ["---"] * len(columns), *filled]
        self._parts.append("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))

    def plot(self, name: str, what: str, figure: Any) -> None:
        """A plot, an SVG file beside the page."""
        self._plots[name] = figure
        self._parts.append(f"![{what}]({name}.svg)")

    def bars(self, name: str, what: str, values: Mapping[str, float]) -> None:
        """A plot of horizontal bars."""
        figure = new_figure(height=1 + 0.25 * len(values))
        axes = figure.subplots()
        bars = axes.barh(list(values), list(values.values()), color="#0072B2")
        axes.bar_label(bars, [f"{round(each, 1):,.10g}" for each in values.values()], padding=3)
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.set_title(what)
        self.plot(name, what, figure)

    def written(self, folder: Path | None, name: str) -> str:
        """The page's text; with a folder it is written there, and its plots."""
        whole = "\n\n".join(self._parts) + "\n"
        if folder:
            import matplotlib as mpl

            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.md").write_text(whole)
            with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
                for each, figure in self._plots.items():
                    figure.savefig(folder / f"{each}.svg", metadata={"Date": None})
        return whole


def new_figure(width: float = 9, height: float = 5) -> Any:
    """An empty plot, in inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")
