"""What a run found, in words."""

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

from untorn.conform.run import Failure, Outcome
from untorn.conform.spelling import spell_result

_CONTEXT = 2
"""Lines of maps around one that differs."""


def summary(outcome: Outcome) -> Iterator[str]:
    """Yield lines: what was done, how often, with which results."""
    by_name: dict[str, Counter[str]] = {}
    for (name, result), count in outcome.counts.items():
        by_name.setdefault(name, Counter())[result] += count
    width = max(map(len, by_name), default=0)
    for name in sorted(by_name):
        counts = by_name[name]
        results = "  ".join(f"{result} {count:,}" for result, count in counts.most_common())
        yield f"{name:{width}}  {counts.total():7,}: {results}"
    each = outcome.seconds / outcome.operations * 1e6 if outcome.operations else 0.0
    yield (
        f"{outcome.operations:,} operations in {outcome.scripts:,} scripts, "
        f"{outcome.succeeded:.1%} succeeded, {outcome.seconds:.1f} s, {each:.0f} us each"
    )
    for difference, count in outcome.differences.items():
        yield f"left out {count:,} operations: {difference.reason}"


def failure_report(failure: Failure, seed: str) -> Iterator[str]:
    """Yield lines: the script, the results, and the lines of maps that differ."""
    mismatch = failure.mismatch
    yield f"mismatch in script {failure.script} of seed {seed}; the shortest that shows it:"
    for number, operation in enumerate(failure.operations, 1):
        yield f"  {number}. {operation}"
    yield f"engine: {spell_result(mismatch.engine)}"
    yield f"kernel: {spell_result(mismatch.kernel)}"
    if mismatch.engine_maps != mismatch.kernel_maps:
        engine, kernel = (_lines(text) for text in (mismatch.engine_maps, mismatch.kernel_maps))
        yield from unified_diff(
            engine, kernel, "engine maps", "kernel maps", n=_CONTEXT, lineterm=""
        )


def _lines(text: bytes) -> list[str]:
    return text.decode(errors="backslashreplace").splitlines()
