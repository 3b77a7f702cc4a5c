"""untorn bench: how long updates of a map take while others read it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from untorn.bench.command import check_command
from untorn.bench.target import BenchOptions, find_target
from untorn.cli.bench_output import Output
from untorn.cli.process_options import Above

if TYPE_CHECKING:
    from untorn.bench.run import Kind, Outcome


def check_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the run what could not be written after it."""
    if path and path.is_dir():  # as the empty name is
        raise click.BadParameter(f"{path} is a directory")
    if path and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}")
    return path


def _check_plot(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    from untorn.bench.plot import FORMATS, check_plotting

    if path and path.suffix not in FORMATS:
        raise click.BadParameter(f"{path} does not end in {' or '.join(FORMATS)}")
    if path:
        check_plotting()
    return check_file(ctx, param, path)


def _check_commands(
    ctx: click.Context, param: click.Parameter, commands: tuple[str, ...]
) -> tuple[str, ...]:
    for command in commands:
        try:
            check_command(command)
        except ValueError as error:
            raise click.BadParameter(f"{error}: {command!r}") from error
    return tuple(dict.fromkeys(commands))


def _option(
    name: str, kind: click.IntRange | click.FloatRange, unit: str, text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default = getattr(BenchOptions(), name)
    return click.option(
        f"--{name}", type=kind, default=default, show_default=True, metavar=unit, help=text
    )


_FILE = click.Path(path_type=Path, dir_okay=False, writable=True, allow_dash=True)


@click.command(
    epilog="""\b
    Example: untorn bench --target engine --target live --plot bench.svg
    Example: untorn bench --exec 'pmap -x {pid}'
    Exit status: 0 all was measured; 1 interrupted, or what was asked for by
    name (or everything) is out of reach; 2 wrong usage."""
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    help="engine, live (this kernel), or vm:KERNEL (another, in QEMU; see untorn kernels); may be "
    "given again.  [default: engine; with --exec, live]",
)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="R",
    help="A reader of the target; may be given again.  [default: all it has; with --exec, none]",
)
@click.option(
    "--exec",
    "commands",
    multiple=True,
    metavar="CMD",
    callback=_check_commands,
    help="A command to be run over and over in the scanners' place, {pid} in it being the mapper.",
)
@_option("nsamples", click.IntRange(min=1), "N", "Runs of each kind.")
@_option("duration", Above(600), "S", "Seconds that a run measures.")
@_option("busyduration", Above(1000), "MS", "Milliseconds a busy task spins between its sleeps.")
@_option("scanners", click.IntRange(1, 64), "N", "Readers at work, and as many busy tasks.")
@_option("mb", click.IntRange(1, 1 << 27), "MB", "Size of the region whose pages come and go.")
@_option("gap", Above(1e6), "US", "Microseconds from an update to the next; more for slow guests.")
@click.option(
    "--virtual-time",
    is_flag=True,
    help="Emulate guests in a time of their own, which no load of this machine changes.",
)
@_option("seed", click.IntRange(min=0), "N", "Where the choice of pages starts.")
@click.option("--locks", is_flag=True, help="Count also how often a pass takes mmap_lock.")
@click.option("--rawdata", is_flag=True, help="Print median, mean, max of the runs, no table.")
@click.option(
    "--json",
    "json_file",
    type=_FILE,
    callback=check_file,
    metavar="FILE|-",
    help="Write all figures there, - for stdout in place of the table.",
)
@click.option(
    "--plot",
    "plot_file",
    type=_FILE,
    callback=_check_plot,
    metavar="FILE",
    help="Draw the runs there, as .svg or .png.",
)
@click.option(
    "--html",
    "page_file",
    type=_FILE,
    callback=check_file,
    metavar="FILE",
    help="Write a page with all figures, and the plot, there.",
)
def bench(
    targets: tuple[str, ...],
    readers: tuple[str, ...],
    commands: tuple[str, ...],
    locks: bool,
    rawdata: bool,
    json_file: Path | None,
    plot_file: Path | None,
    page_file: Path | None,
    **options: Any,
) -> None:
    """Measure how long mmap and munmap take while others read the map.

    A mapper maps and unmaps random pages; scanners of low priority read its map over and over,
    on another CPU, where busy tasks preempt them. The reader `none` is the same without scanners.

    Beside the latencies stand the ratio of the mean to that of `none`, whole passes of the
    scanners, runs whose mapper hung, and what the target counts: how often the mapper was
    blocked by a lock or preempted, how often a reader retried or fell back to mmap_lock.

    With --locks also how often a reader takes the mmap_lock of a process in one pass: exact, on a
    busy machine too. It needs the right to trace (root), the engine does not.
    """
    if rawdata and json_file == Path("-"):
        raise click.UsageError("--rawdata and --json - both want stdout")
    kinds = _plan(targets or (("live",) if commands else ("engine",)), readers, commands)
    outcome = _measure(kinds, BenchOptions(**options), locks)
    if outcome.samples:
        output = Output(outcome, BenchOptions(**options))
        try:
            output.write(json_file, plot_file, page_file)
        finally:  # what was measured is told, whatever becomes of the files
            if json_file != Path("-"):
                output.print(raw=rawdata)
    _finish(outcome, bool(readers or commands))


def _plan(
    targets: tuple[str, ...], readers: tuple[str, ...], commands: tuple[str, ...]
) -> "list[Kind]":
    from untorn.bench.run import plan

    try:
        return plan([find_target(name) for name in dict.fromkeys(targets)], readers, commands)
    except LookupError as error:
        raise click.UsageError(str(error)) from error


def _measure(kinds: "list[Kind]", options: BenchOptions, locks: bool) -> "Outcome":
    from untorn.bench.run import measure, progress_bar

    counts = sum(kind.reader != "none" for kind in kinds) if locks else 0
    with progress_bar(len(kinds) * options.nsamples + counts) as report:
        return measure(kinds, options, report, locks=locks)


def _finish(outcome: "Outcome", by_name: bool) -> None:
    """Say on stderr what is missing, and end with status 1 if that is a failure."""
    reasons: dict[str, list[str]] = {}
    for kind, reason in outcome.out_of_reach.items():
        reasons.setdefault(reason, []).append(kind)
    for reason, kinds in reasons.items():
        which = f"{', '.join(kinds)}: " if outcome.samples else ""
        click.echo(f"{which}{reason}", err=True)
    if outcome.interrupted:
        click.echo(f"interrupted after {len(outcome.samples)} samples", err=True)
    if outcome.interrupted or not outcome.samples or (by_name and outcome.out_of_reach):
        click.get_current_context().exit(1)
