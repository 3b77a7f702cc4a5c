"""The page is self-contained and has every figure and the command; the plot of many targets."""

import json
import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.helpers.made_up import ENVIRONMENT, FakeTarget, sample
from untorn.bench.lock_count import LockCount
from untorn.bench.page import page
from untorn.bench.run import BenchResult
from untorn.bench.target import BenchOptions
from untorn.cli import main

OUTCOME = BenchResult(
    samples=[
        sample("vm:6.12", "none", 0, 1.0),
        sample("vm:6.12", "maps", 0, 7.0, variant="<odd>", counters={"blocked": 5}),
    ],
    lock_counts=[LockCount("vm:6.12", "maps", "<odd>", 26, 2345)],
    guests={"vm:6.12": ENVIRONMENT},
)


class Cells(HTMLParser):
    """The rows of all tables; addresses of anything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.fetched += [value or "" for name, value in attrs if name in ("src", "srcset")]
        if tag == "link":
            self.fetched.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def made() -> str:
    return page(
        OUTCOME, ENVIRONMENT, BenchOptions(), "untorn bench --json '<file>'", "<svg>it</svg>"
    )


def test_the_page_has_each_figure_beside_its_reader() -> None:
    rows = Cells(made()).rows
    expected = ["vm:6.12", "maps, <odd>", "1", "7", "7", "7", "7", "7", "2,345"]
    assert expected in rows
    assert ["vm:6.12", "maps, <odd>", "0", "1", "7", "7", "7", "7", "0", "blocked 5"] in rows


def test_the_page_says_what_is_missing() -> None:
    cut = replace(OUTCOME, out_of_reach={"vm:9.9/none": "no <kernel> 9.9"}, interrupted=True)
    text = page(cut, ENVIRONMENT, BenchOptions(), "untorn bench")
    assert ["vm:9.9/none", "no <kernel> 9.9"] in Cells(text).rows
    assert "Interrupted after 2 runs." in text
    assert "out of reach" not in made()
    assert "Interrupted" not in made()


def test_the_page_says_how_and_where() -> None:
    text = made()
    assert "untorn bench --json &#x27;&lt;file&gt;&#x27;" in text
    assert ["vm:6.12", "kernel", ENVIRONMENT.kernel] in Cells(text).rows
    assert "<svg>it</svg>" in text


def test_the_page_holds_the_json() -> None:
    raw = re.search(r"<summary>show</summary><pre>(.*?)</pre>", made(), re.DOTALL)
    assert raw is not None
    assert json.loads(unescape(raw[1]))["locks"][0]["acquisitions"] == 2345


def test_the_page_needs_no_other_file() -> None:
    assert Cells(made()).fetched == []


def test_the_command_writes_a_page_with_the_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("untorn.targets.bench_target", lambda name, tell: FakeTarget(name))
    monkeypatch.setattr(sys, "argv", ["untorn", "bench", "--target", "a b"])
    arguments = ["bench", "--nsamples", "1", "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(main, arguments)
    text = (tmp_path / "page.html").read_text()
    assert (done.exit_code, done.stderr) == (0, "")
    assert "untorn bench --target &#x27;a b&#x27;" in text
    assert "<svg" in text
    assert "<?xml" not in text
