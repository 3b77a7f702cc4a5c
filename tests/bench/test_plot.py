"""The plot of a benchmark."""

from pathlib import Path

import pytest

from tests.helpers.made_up import ENVIRONMENT, sample
from untorn.bench.target import BenchOptions

RUNS = [
    sample(target, reader, number, low + number, variant=variant)
    for number in range(3)
    for target, reader, variant, low in (
        ("engine", "none", "", 0.01),
        ("engine", "mmap_lock", "", 5.0),
        ("engine", "mmap_lock", "odd interval", 2.0),
        ("live", "maps", "", 0.02),
    )
]


def test_svg_has_a_panel_per_target_and_a_label_per_reader_and_variant(tmp_path: Path) -> None:
    plot = pytest.importorskip("untorn.bench.plot")
    file = tmp_path / "bench.svg"
    plot.draw(RUNS, BenchOptions(), ENVIRONMENT, file)
    texts = file.read_text()
    # Text is drawn as outlines, each under a comment that has it.
    for text in ("engine", "live", "mmap_lock", "mmap_lock, odd interval", "maps"):
        assert f"<!-- {text} -->" in texts
    assert "Linux 6.18.0, CPython 3.11.7, 2 CPUs" in texts


def test_png_is_one(tmp_path: Path) -> None:
    plot = pytest.importorskip("untorn.bench.plot")
    file = tmp_path / "bench.png"
    plot.draw(RUNS, BenchOptions(), ENVIRONMENT, file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_runs_that_all_hung_still_give_a_plot(tmp_path: Path) -> None:
    plot = pytest.importorskip("untorn.bench.plot")
    file = tmp_path / "bench.svg"
    plot.draw([sample("live", "maps", 0, hung=True)], BenchOptions(), ENVIRONMENT, file)
    assert "<!-- maps -->" not in file.read_text()


def test_the_plot_says_what_was_timed_beside_what(tmp_path: Path) -> None:
    plot = pytest.importorskip("untorn.bench.plot")
    file = tmp_path / "bench.svg"
    plot.draw(RUNS, BenchOptions(workload="fault", resident_mb=64), ENVIRONMENT, file)
    assert "first touches of pages; 64 MiB resident in one VMA of 4 KiB pages" in file.read_text()
