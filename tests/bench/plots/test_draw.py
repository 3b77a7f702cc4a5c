"""The contents of pictures, not their looks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.made_up import ENVIRONMENT, sample
from untorn.bench.lock_count import LockCount
from untorn.bench.run import BenchResult
from untorn.bench.target import BenchOptions

pytest.importorskip("matplotlib")

from matplotlib.axes import Axes
from matplotlib.text import Text

from untorn.bench.plots.across import across
from untorn.bench.plots.draw import draw
from untorn.bench.plots.kind import PLOT_KINDS, SHARES
from untorn.bench.plots.runs import runs
from untorn.bench.plots.shares import percent, shares

RESULT = BenchResult(
    [
        sample(target, reader, number, low, low, 3 * low + number, variant=variant)
        for number in range(3)
        for target, reader, variant, low in (
            ("engine", "none", "", 0.01),
            ("engine", "mmap_lock", "", 5.0),
            ("engine", "mmap_lock", "odd interval", 2.0),
            ("live", "none", "", 0.02),
            ("live", "maps", "", 0.02),
        )
    ]
)
TARGETS = [f"vm:6.{number}" for number in range(5)]
MANY = BenchResult(
    [sample(name, "none", 0, 1.0) for name in TARGETS]
    + [sample(name, "maps", 0, float(n + 1)) for n, name in enumerate(TARGETS)]
    + [sample(name, "gentle", 0, 1.0, variant="smaps") for name in TARGETS],
    lock_counts=[LockCount(name, "maps", "", 26, 27 - n) for n, name in enumerate(TARGETS)],
)


def drawn(result: BenchResult, path: Path, kind: str | None = None) -> str:
    draw(result, BenchOptions(), ENVIRONMENT, path, kind=kind)
    return path.read_text()


def labels(axes: Axes) -> list[str]:
    return sorted(text.get_text() for text in axes.texts if text.get_text())


def points(axes: Axes, number: int) -> tuple[list[float], list[float]]:
    line = axes.lines[number]
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_a_target_has_a_panel_and_a_reader_a_line_with_its_name() -> None:
    engine, live = shares(RESULT, BenchOptions(), ENVIRONMENT, ()).axes
    assert [axes.get_title("left") for axes in (engine, live)] == ["engine", "live"]
    assert labels(engine) == ["mmap_lock  25x", "none", "not drawn: 1 variant"]
    assert labels(live) == ["maps  1.0x", "none"]
    assert (engine.get_xscale(), live.get_yscale()) == ("log", "log")


def test_a_guest_is_said_beneath_its_target() -> None:
    guests = {"live": replace(ENVIRONMENT, kernel="6.12.1", python="")}
    _, live = shares(replace(RESULT, guests=guests), BenchOptions(), ENVIRONMENT, ()).axes
    assert "Linux 6.12.1, 2 CPUs" in labels(live)


def test_a_line_falls_from_all_calls_to_the_longest_of_all_runs() -> None:
    _, live = shares(RESULT, BenchOptions(), ENVIRONMENT, ()).axes
    portions, latencies = points(live, 1)
    assert portions == sorted(portions, reverse=True)
    assert latencies == sorted(latencies)
    assert portions[0] == 1
    assert latencies[0] == pytest.approx(0.02, rel=1 / 32)
    assert (portions[-1], latencies[-1]) == (1 / 9, 0.06 + 2)


def test_shares_are_percent_without_exponents() -> None:
    assert [percent(share) for share in (1, 0.1, 1e-3, 1e-5)] == ["100", "10", "0.1", "0.001"]


def test_runs_are_sorted_means_beside_sorted_maxima() -> None:
    panels = runs(RESULT, BenchOptions(), ENVIRONMENT, ()).axes
    assert [axes.get_title("left") for axes in panels[2:]] == [
        "live: mean of each run",
        "live: maximum of each run",
    ]
    maps = sorted(each.mean_ms for each in RESULT.samples if each.reader == "maps")
    assert points(panels[2], 1) == ([1, 2, 3], maps)
    assert points(panels[3], 1)[1] == pytest.approx([0.06, 1.06, 2.06])


def test_of_many_targets_a_line_goes_from_one_to_the_next() -> None:
    ratios, locks = across(MANY, BenchOptions(), ENVIRONMENT, ()).axes
    assert labels(ratios) == ["maps", "not drawn: 1 variant"]
    assert points(ratios, 0)[1] == [1, 2, 3, 4, 5]
    assert points(locks, 0)[1] == [27, 26, 25, 24, 23]
    assert [each.get_text() for each in locks.get_xticklabels()] == TARGETS


def test_no_panel_has_more_than_six_lines() -> None:
    readers = ("none", "maps", "smaps", "query", "gentle", "psutil", "memory", "clear_refs")
    many = BenchResult([sample("live", reader, 0, 1.0) for reader in readers])
    for picture in (shares, runs, across):
        for axes in picture(many, BenchOptions(), ENVIRONMENT, ()).axes:
            assert len(axes.lines) <= 6
    figure = shares(many, BenchOptions(), ENVIRONMENT, ("clear_refs",))
    assert "not drawn: psutil, memory" in labels(figure.axes[0])


def test_no_label_overlaps_another() -> None:
    figure = shares(RESULT, BenchOptions(), ENVIRONMENT, ("mmap_lock, odd interval",))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text) for text in axes.texts if text.get_text()]
        assert len(boxes) > 1
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_svg_says_what_was_timed_beside_what_and_where(tmp_path: Path) -> None:
    file = tmp_path / "bench.svg"
    draw(RESULT, BenchOptions(workload="fault", resident_mb=64), ENVIRONMENT, file)
    texts = file.read_text()  # outlines, each after a comment that has the text
    assert "first touches of pages; 64 MiB resident in one VMA of 4 KiB pages" in texts
    assert "Linux 6.18.0, CPython 3.11.7, 2 CPUs" in texts


def test_few_targets_have_their_shares_drawn_and_many_have_not(tmp_path: Path) -> None:
    file = tmp_path / "bench.svg"
    share, pass_ = "share of the calls that take longer", "VMAs takes mmap_lock"
    assert share in drawn(RESULT, file)
    assert pass_ in drawn(MANY, file)
    assert share in drawn(MANY, file, SHARES)


@pytest.mark.parametrize("kind", PLOT_KINDS)
def test_runs_that_all_hung_still_give_a_picture(tmp_path: Path, kind: str) -> None:
    hung = BenchResult([sample("live", "maps", 0, hung=True)])
    assert "<svg" in drawn(hung, tmp_path / "bench.svg", kind)


def test_png_is_one(tmp_path: Path) -> None:
    file = tmp_path / "bench.png"
    draw(RESULT, BenchOptions(), ENVIRONMENT, file)
    assert file.read_bytes().startswith(b"\x89PNG")
