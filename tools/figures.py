"""The figures in README and docs: written by commands, kept in docs/figures, put into the pages.

    python tools/figures.py                     put the kept figures into the pages
    python tools/figures.py FILE...             keep these first: `untorn bench --json`, or any text

A page names a figure by a line `<!-- figure: NAME -->`. The lines up to `<!-- end -->` are made
from docs/figures/NAME: a text as it is (in a block, unless it is Markdown), a benchmark as a table.
A test compares the pages with the figures. A benchmark is kept without its distributions.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from untorn.bench.sample import Sample, Summary, label, ratio_to_none, summarise

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs/figures"
FIGURE = re.compile(
    r"(?<=^<!-- figure: )(\S+) -->\n.*?(?=^<!-- end -->$)", re.DOTALL | re.MULTILINE
)


def pages() -> Iterator[Path]:
    """Yield the pages that may show figures."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))


def keep(file: Path) -> None:
    """Keep a file that a command wrote, under its own name."""
    text = file.read_text()
    if file.suffix == ".json":
        content = json.loads(text)
        for sample in content["samples"]:
            sample["histogram_ns"] = {}
        text = json.dumps(content, indent=1)
    (KEPT / file.name).write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def with_figures(page: str) -> str:
    """Return the text of a page with the kept figures in it."""
    return FIGURE.sub(lambda match: f"{match[1]} -->\n{figure(match[1])}", page)


def figure(name: str) -> str:
    """Return a kept figure as Markdown."""
    text = (KEPT / name).read_text()
    if name.endswith(".json"):
        return _TABLES[name](json.loads(text))
    if name.endswith(".md"):
        return f"{text.strip()}\n\n"
    return f"```text\n{text.rstrip()}\n```\n"


def _latencies(content: dict[str, Any]) -> str:
    """Return a row for each target and reader; latencies in ms."""
    summaries = _summaries(content)
    widths = [max(len(_kind(each)[part]) for each in summaries) for part in (0, 1)]
    heading = (
        f"{'target':{widths[0]}}  {'reader':{widths[1]}}  {'median':>8} {'mean':>8} {'max':>9}"
    )
    lines = [f"{heading} {'x none':>7} {'updates':>9}"]
    for each in summaries:
        target, reader = _kind(each)
        ratio = ratio_to_none(each, summaries)
        lines.append(
            f"{target:{widths[0]}}  {reader:{widths[1]}}  {each.median_ms:8.4f} {each.mean_ms:8.4f}"
            f" {each.max_ms:9.3f} {_number(ratio, 2):>7} {each.updates:9,}"
        )
    return "```text\n" + "\n".join(lines) + f"\n```\n\n{_where(content)}\n"


def _ratios(content: dict[str, Any]) -> str:
    """Return a column for each guest: means relative to none, then the locks of a pass."""
    summaries = _summaries(content)
    targets = list(dict.fromkeys(each.target for each in summaries))
    rows = [["", *(content["guests"][each]["kernel"].split("+")[0] for each in targets)]]
    rows.append(["---", *(["--:"] * len(targets))])
    for reader in dict.fromkeys(_kind(each)[1] for each in summaries if each.reader != "none"):
        found = {each.target: each for each in summaries if _kind(each)[1] == reader}
        ratios = (
            ratio_to_none(found[target], summaries) if target in found else math.nan
            for target in targets
        )
        rows.append([reader, *(_number(ratio, 1) for ratio in ratios)])
    locks = {(each["reader"], each["target"]): each["acquisitions"] for each in content["locks"]}
    for reader in dict.fromkeys(reader for reader, _ in locks):
        cells = (locks.get((reader, target)) for target in targets)
        rows.append([f"locks: {reader}", *("-" if n is None else f"{n:,}" for n in cells)])
    return _markdown(rows) + f"\n{_where(content)}\n"


_TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "bench.json": _latencies,
    "kernels.json": _ratios,
}


def _summaries(content: dict[str, Any]) -> list[Summary]:
    return summarise([Sample.from_json(each) for each in content["samples"]])


def _kind(summary: Summary) -> tuple[str, str]:
    return summary.target, label(summary.reader, summary.variant)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _where(content: dict[str, Any]) -> str:
    """Return a sentence that says where and for how long was measured."""
    here, options = content["environment"], content["options"]
    return (
        f"Runs: {options['nsamples']} of {options['duration']:g} s for each reader, Linux "
        f"{here['kernel']}, {len(here['cpus'])} CPUs, {here['python']}, load {here['load'][0]:.1f}."
    )


def main(files: Sequence[str]) -> None:
    """Keep files, then put all figures into the pages."""
    for file in files:
        keep(Path(file))
    for page in pages():
        page.write_text(with_figures(page.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
