"""README and docs show only figures that commands wrote."""

import json
from pathlib import Path

import pytest

from tests.helpers.repository import ROOT
from tools import figures
from untorn.bench.environment import Environment
from untorn.bench.report import as_json
from untorn.bench.run import BenchResult
from untorn.bench.sample import Sample
from untorn.bench.target import BenchOptions


@pytest.mark.parametrize("page", list(figures.pages()), ids=lambda page: page.name)
def test_pages_show_what_is_kept(page: Path) -> None:
    text = page.read_text()
    assert figures.with_figures(text) == text, "run tools/figures.py"


def test_all_that_is_kept_is_shown() -> None:
    shown = {name for page in figures.pages() for name in figures.FIGURE.findall(page.read_text())}
    assert shown == {each.name for each in figures.KEPT.iterdir()}


def test_a_benchmark_becomes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "KEPT", tmp_path / "kept")
    figures.KEPT.mkdir()
    result = BenchResult(
        [
            Sample.from_latencies("live", "none", 0, [1_000_000] * 3),
            Sample.from_latencies("live", "smaps", 0, [50_000_000]),
        ]
    )
    written = tmp_path / "bench.json"
    written.write_text(as_json(result, Environment.here(), BenchOptions()))
    figures.keep(written)
    kept = json.loads((figures.KEPT / "bench.json").read_text())
    assert all(each["histogram_ns"] == {} for each in kept["samples"])
    _, _, first, second, *_ = figures.figure("bench.json").splitlines()
    assert first.split() == ["live", "none", "1.0000", "1.0000", "1.000", "1.00", "3"]
    assert second.split() == ["live", "smaps", "50.0000", "50.0000", "50.000", "50.00", "1"]


def test_a_figure_in_a_page_is_replaced() -> None:
    page = "a\n<!-- figure: micro.txt -->\nold\n<!-- end -->\nb\n"
    shown = figures.with_figures(page)
    assert (figures.KEPT / "micro.txt").read_text() in shown
    assert "old" not in shown
    assert figures.with_figures(shown) == shown


def test_the_repository_is_the_one_tested() -> None:
    assert figures.ROOT == ROOT
