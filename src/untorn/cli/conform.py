"""untorn conform: compare the engine with the kernels that are there, operation by operation."""

from typing import TYPE_CHECKING, TextIO

import click
from click.core import ParameterSource

from untorn.cli.conform_program import conform_program
from untorn.cli.options import cluster_option
from untorn.cli.progress import StatusLine
from untorn.conform.outcome import ConformRun
from untorn.conform.suites import suite_names, suite_text
from untorn.errors import OutOfReachError, describe

if TYPE_CHECKING:
    from untorn.conform.outcome import Outcome
    from untorn.conform.target import ConformOptions, ConformTarget

_WIDTH = 120
"""Columns; wide enough that no name is cut."""
_OF_PROGRAMS = frozenset({"is_program", "is_unfiltered", "record", "command"})
_OF_FILES = frozenset({"names", "abi", "script", "suites", "address"})
_OF_RANDOM_OPERATIONS = frozenset({"names", "abi", "ops", "seeds", "address"})
"""The parameters that each kind of run has."""


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
    Example: untorn conform --ops 100000 --seed 7
             untorn conform --exec python3 -c 'import json'
    Exit status: 0 no mismatch; 1 a mismatch, interrupted, or out of reach;
    2 wrong usage.""",
)
@click.option(
    "--target",
    "names",
    multiple=True,
    default=("live",),
    show_default=True,
    metavar="T",
    help="live (this kernel), or vm:KERNEL (another, in QEMU); repeatable.",
)
@click.option(
    "--ops",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Number of operations.",
)
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    default=("0",),
    show_default=True,
    metavar="S",
    help="Seed of the random operations; repeatable.",
)
@click.option(
    "--abi",
    type=click.Choice(["x86_64", "i386"]),
    default="x86_64",
    show_default=True,
    help="The ABI of the child's program: i386 is a 32-bit process.",
)
@click.option(
    "--script",
    type=click.File(),
    metavar="FILE|-",
    help="Instead of random operations: a file of cases, or what a mismatch printed.",
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    type=click.Choice([*suite_names(), "all"]),
    help="Instead of random operations: cases that come with untorn.",
)
@cluster_option
@click.option(
    "--exec",
    "is_program",
    is_flag=True,
    help="Instead of random operations: run CMD, and make its memory calls in the engine, too.",
)
@click.option(
    "--no-seccomp",
    "is_unfiltered",
    is_flag=True,
    help="With --exec: stop at every call of CMD. Slower, but debuggers work.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE|-",
    help="With --exec: write the calls to this file; --script can repeat them without CMD.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[CMD...]")
def conform(
    names: tuple[str, ...],
    ops: int,
    seeds: tuple[str, ...],
    abi: str,
    script: TextIO | None,
    suites: tuple[str, ...],
    address: str | None,
    is_program: bool,
    is_unfiltered: bool,
    record: str | None,
    command: tuple[str, ...],
) -> None:
    """Compare the engine with a kernel: same results, same maps.

    A child process, driven by ptrace, and the engine run the same random scripts of mmap, munmap,
    mprotect, mremap, madvise, mlock, brk, mseal, fork, memory accesses and resource limits. After
    each operation the command compares the results, the whole text of maps byte for byte, and the
    counts of pages. A mismatch ends the run with the shortest script that shows it.

    With vm:KERNEL the child runs in a guest with that kernel, and the engine runs here.

    With --cluster each seed or file of cases goes to a worker: `live` is then the kernel of that
    worker, and vm:KERNEL a kernel that the worker has.

    With --exec all threads and children of CMD are traced. The effects of calls that the engine
    does not model are taken from the kernel's maps, and counted.
    """
    if is_program != bool(command):
        raise click.UsageError("--exec and CMD go together")
    _refuse_others(_of_run(is_program=is_program, has_files=bool(script or suites)))
    if suites and abi != "x86_64":
        raise click.UsageError("the cases of --suite have addresses of 64 bits")
    if is_program:
        conform_program(command, record, filtered=not is_unfiltered)
        return
    from untorn.conform.target import ConformOptions
    from untorn.processes.endings import endings_held
    from untorn.targets import conform_target

    try:
        targets = [conform_target(name) for name in dict.fromkeys(names)]
    except LookupError as error:
        raise click.UsageError(str(error)) from error
    files = {name: suite_text(name) for name in (suite_names() if "all" in suites else suites)}
    if script is not None:
        files[script.name] = _read(script)
    if files:
        options = ConformOptions(abi=abi, files=files)
    else:
        options = ConformOptions(ops, seeds, abi=abi)
    with endings_held():
        if address is None:
            outcomes = _run_all(targets, options)
        else:
            outcomes = _run_on_cluster(targets, options, address)
    if len(targets) > 1:
        _print_table([target.name for target in targets], outcomes)
    good = [outcome for outcome in outcomes if isinstance(outcome, ConformRun) and outcome.is_good]
    if len(good) < len(targets):
        click.get_current_context().exit(1)


def _of_run(*, is_program: bool, has_files: bool) -> frozenset[str]:
    if is_program:
        return _OF_PROGRAMS
    return _OF_FILES if has_files else _OF_RANDOM_OPERATIONS


def _refuse_others(known: frozenset[str]) -> None:
    """Refuse options that do nothing in a run that has only these parameters."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_given and name not in known:
            raise click.UsageError(f"{parameter.opts[0]} does nothing in this kind of run")


def _run_all(targets: "list[ConformTarget]", options: "ConformOptions") -> "list[Outcome]":
    """Run at each target and print its outcome; if interrupted, return only those that ended."""
    from untorn.cli.side_by_side import run_each

    if len(targets) == 1:
        run = _run(targets[0], options)
        _print(run, options.origin)
        return [run]
    outcomes: list[Outcome] = []
    total = options.total * len(targets)
    with StatusLine() as status:
        names = [target.name for target in targets]
        for outcome in run_each(
            names, options, lambda done: status.show("operations", done, total)
        ):
            status.clear()
            _print_one_of(names[len(outcomes)], outcome, options.origin)
            outcomes.append(outcome)
    return outcomes


def _run_on_cluster(
    targets: "list[ConformTarget]", options: "ConformOptions", address: str
) -> "list[Outcome]":
    from untorn.cli.conform_cluster import run_on_cluster
    from untorn.spread.pools import open_pool

    names = [target.name for target in targets]
    with StatusLine() as status:
        outcomes = run_on_cluster(
            names,
            options,
            open_pool(address),
            lambda done, total: status.show("parts", done, total),
        )
    for name, outcome in zip(names, outcomes, strict=True):
        _print_one_of(name, outcome, options.origin)
    return outcomes


def _run(target: "ConformTarget", options: "ConformOptions") -> "ConformRun":
    from untorn.processes.endings import ending_taken

    with StatusLine() as status:
        status.show(f"{target.name}: starting")
        run = target.conform(
            options, lambda run: status.show("operations", run.operations, options.total)
        )
    run.interrupted = ending_taken() or run.interrupted
    return run


def _print_one_of(name: str, outcome: "Outcome", origin: str) -> None:
    if isinstance(outcome, OutOfReachError):
        click.echo(f"{name}: {describe(outcome)}", err=True)
        return
    click.echo(f"{name}: Linux {outcome.release}")
    _print(outcome, origin)
    click.echo()


def _print(run: "ConformRun", origin: str) -> None:
    from untorn.conform.report import failure_report, summary

    for failure in run.failures:
        click.echo("\n".join(failure_report(failure)) + "\n")
    click.echo("\n".join(summary(run, origin)))
    if run.broken_off:
        click.echo(f"broken off after {run.operations} operations: {run.broken_off}", err=True)
    if run.interrupted:
        click.echo(f"interrupted after {run.operations} operations", err=True)


def _print_table(names: list[str], outcomes: "list[Outcome]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("target", "release", box=SIMPLE_HEAD)
    for column in ("operations", "seconds", "succeeded", "left out", "mismatches"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, outcome in zip(names, outcomes, strict=False):
        cells = _cells(outcome) if isinstance(outcome, ConformRun) else ("-",) * 6
        table.add_row(name, *cells)
    Console(width=_WIDTH, markup=False).print(table)


def _cells(run: "ConformRun") -> tuple[str, ...]:
    return (
        run.release,
        f"{run.operations:,}",
        f"{run.seconds:.0f}",
        f"{run.succeeded:.1%}",
        f"{run.left_out.total():,}",
        str(len(run.failures)),
    )


def _read(script: TextIO) -> str:
    from untorn.conform.case_text import parse_cases

    try:
        text = script.read()
        parse_cases(text)
    except ValueError as error:
        raise click.BadParameter(f"{script.name}: {error}") from error
    return text
