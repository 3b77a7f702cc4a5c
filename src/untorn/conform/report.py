"""The findings of a run, in words."""

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

from untorn.conform.outcome import ConformRun, Failure
from untorn.conform.pair import Mismatch
from untorn.conform.script_text import format_result, format_script

_CONTEXT = 20
"""Lines of maps around one that differs: usually all of them."""


def summary(run: ConformRun, origin: str) -> Iterator[str]:
    """Yield lines: what was done, how often, with which results."""
    yield from counts_lines(run.counts)
    for reason, count in run.left_out.items():
        yield f"left out {count:,} operations: {reason}"
    each = run.seconds / run.operations * 1e6 if run.operations else 0.0
    yield (
        f"{origin}: {run.operations:,} operations in {run.scripts:,} scripts, "
        f"{run.succeeded:.1%} succeeded, {run.seconds:.1f} s, {each:.0f} us each"
    )


def counts_lines(counts: Counter[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each call: its results, and how often each occurred."""
    by_name: dict[str, Counter[str]] = {}
    for (name, result), count in counts.items():
        by_name.setdefault(name, Counter())[result] += count
    width = max(map(len, by_name), default=0)
    for name in sorted(by_name):
        each = by_name[name]
        results = "  ".join(f"{result} {count:,}" for result, count in each.most_common())
        yield f"{name:{width}}  {each.total():7,}: {results}"


def failure_report(failure: Failure) -> Iterator[str]:
    """Yield lines that --script reads: the script, and how engine and kernel differ at its end."""
    where = f"script {failure.script} of {failure.origin}"
    yield f"# mismatch in {where}; the shortest found that shows it:"
    yield from format_script(failure.operations)
    yield from mismatch_report(failure.mismatch)


def mismatch_report(mismatch: Mismatch) -> Iterator[str]:
    """Yield lines: results, counts and maps of both, where they differ."""
    engine, kernel = mismatch.engine, mismatch.kernel
    yield f"# engine: {engine.fault or format_result(engine.result)}"
    yield f"# kernel: {format_result(kernel.result)}"
    if mismatch.expected:
        yield f"# expected: {mismatch.expected}"
    if not engine.fault:
        yield from _counts(engine.counts or {}, kernel.counts or {})
        yield from _diff("maps", engine.maps, kernel.maps)
        yield from _diff("policies", engine.policies, kernel.policies)
        yield from _diff("smaps", engine.smaps, kernel.smaps)


def _counts(engine: dict[str, int], kernel: dict[str, int]) -> Iterator[str]:
    """Yield a line for each count that differs, or that only one side has."""
    for name in kernel | engine:
        here, there = engine.get(name), kernel.get(name)
        if here != there:
            yield f"# {name}: engine {here} pages, kernel {there}"


def _diff(what: str, engine: bytes, kernel: bytes) -> Iterator[str]:
    before, after = (
        text.decode(errors="backslashreplace").splitlines() for text in (engine, kernel)
    )
    names = f"engine {what}", f"kernel {what}"
    for line in unified_diff(before, after, *names, n=_CONTEXT, lineterm=""):
        yield f"# {line}"
