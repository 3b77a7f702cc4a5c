"""What a run found, in words."""

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

from untorn.conform.files import MAPPED
from untorn.conform.mismatch import Answer, Mismatch
from untorn.conform.operation import Operation
from untorn.conform.run import Failure, Outcome
from untorn.conform.spelling import spell, spell_result

_CONTEXT = 20
"""Lines of maps around one that differs: all of them, but for a crowd."""


def summary(outcome: Outcome, origin: str) -> Iterator[str]:
    """Yield lines: what was done, how often, with which results."""
    by_name: dict[str, Counter[str]] = {}
    for (name, result), count in outcome.counts.items():
        by_name.setdefault(name, Counter())[result] += count
    width = max(map(len, by_name), default=0)
    for name in sorted(by_name):
        counts = by_name[name]
        results = "  ".join(f"{result} {count:,}" for result, count in counts.most_common())
        yield f"{name:{width}}  {counts.total():7,}: {results}"
    for reason, count in outcome.left_out.items():
        yield f"left out {count:,} operations: {reason}"
    each = outcome.seconds / outcome.operations * 1e6 if outcome.operations else 0.0
    yield (
        f"{origin}: {outcome.operations:,} operations in {outcome.scripts:,} scripts, "
        f"{outcome.succeeded:.1%} succeeded, {outcome.seconds:.1f} s, {each:.0f} us each"
    )


def failure_report(failure: Failure, origin: str) -> Iterator[str]:
    """Yield lines that --script reads: the script, and how engine and kernel part at its end."""
    yield f"# mismatch in script {failure.script} of {origin}; the shortest found that shows it:"
    yield from script(failure.operations)
    yield from mismatch_report(failure.mismatch)


def script(operations: list[Operation]) -> Iterator[str]:
    """Yield a line for each operation, after what the names of files in them mean."""
    words = [spell(operation) for operation in operations]
    for name, what in MAPPED.items():
        if any(f" {name}," in line for line in words):
            yield f"# {name}: {what}"
    yield from words


def mismatch_report(mismatch: Mismatch) -> Iterator[str]:
    """Yield lines: results, counts and maps of both, as far as they differ."""
    engine, kernel = mismatch.engine, mismatch.kernel
    yield f"# engine: {engine.fault or spell_result(engine.result)}"
    yield f"# kernel: {spell_result(kernel.result)}"
    for name, pages in (kernel.counts or {}).items():
        if engine.counts and engine.counts[name] != pages:
            yield f"# {name}: engine {engine.counts[name]} pages, kernel {pages}"
    if not engine.fault and engine.maps != kernel.maps:
        yield from _diff(engine, kernel)


def _diff(engine: Answer, kernel: Answer) -> Iterator[str]:
    before, after = (
        answer.maps.decode(errors="backslashreplace").splitlines() for answer in (engine, kernel)
    )
    names = "engine maps", "kernel maps"
    for line in unified_diff(before, after, *names, n=_CONTEXT, lineterm=""):
        yield f"# {line}"
