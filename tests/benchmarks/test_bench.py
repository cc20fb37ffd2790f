"""The benchmarks on small inputs: they run, and their page has every figure."""

from pathlib import Path

import pytest

from benchmarks import bench


@pytest.mark.heavy("all benchmarks together take half a minute, and one needs msgraph-sdk")
def test_every_benchmark_has_its_figures(tmp_path: Path) -> None:
    text = bench.page(small=True).written(tmp_path, "benchmarks")
    assert (tmp_path / "benchmarks.md").read_text() == text
    for heading in ("Archiving", "Acknowledging", "Memory", "Import"):
        assert f"## {heading}" in text
    assert len(list(tmp_path.glob("*.svg"))) == text.count(".svg)") == 3
    assert text.count("| ≤") + text.count("| ≥") + text.count("| <") >= 9
