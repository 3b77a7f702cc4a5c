"""The findings of a traced run, in words."""

import signal
from collections.abc import Iterator

from untorn.conform.outcome import Failure
from untorn.conform.program.outcome import ProgramMismatch, ProgramRun
from untorn.conform.report import counts_lines, failure_report, mismatch_report
from untorn.conform.script_text import format_operation


def program_summary(run: ProgramRun, name: str) -> Iterator[str]:
    """Yield lines: which calls were compared, how they ended, what was not modelled."""
    yield from counts_lines(run.counts)
    for what, count in run.not_modelled.most_common():
        yield f"not modelled, taken from the kernel: {count:,} of {what}"
    share = run.tracing / run.seconds if run.seconds else 0.0
    rate = run.operations / run.seconds if run.seconds else 0.0
    yield (
        f"{name}: {run.operations:,} calls compared, {run.not_modelled.total():,} not modelled, "
        f"{len(run.mismatches):,} mismatches; {run.programs:,} programs, {run.processes:,} "
        f"processes, {run.threads:,} threads"
    )
    yield (
        f"{run.seconds:.1f} s, {rate:,.0f} calls/s, {share:.0%} of the time in the tracer; "
        f"{_ending(run.ending)}"
    )


def program_mismatch_report(found: ProgramMismatch, shortest: Failure | None) -> Iterator[str]:
    """Yield lines: a script that shows a mismatch; or without one, the call and the maps before it.

    Args:
        found: The mismatch.
        shortest: The script, if there is one.
    """
    if shortest is not None:
        yield from failure_report(shortest)
        return
    yield f"# mismatch in a call of thread {found.pid}, which no script was found to show:"
    yield f"# {format_operation(found.mismatch.operation)}"
    yield from mismatch_report(found.mismatch)
    yield "# maps before the call:"
    for line in found.before.decode(errors="backslashreplace").splitlines():
        yield f"# {line}"


def _ending(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"
