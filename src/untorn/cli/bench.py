"""untorn bench: how long the calls of a process take while others read its map."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from untorn.bench.command import EXEC, check_command
from untorn.bench.plots.kind import PLOT_KINDS
from untorn.bench.sample import label
from untorn.bench.target import WORKLOADS, BenchOptions
from untorn.cli.bench_output import FORMATS, Output, check_plotting
from untorn.cli.bench_sim import sim_options
from untorn.cli.options import OUTPUT_FILE, Above, check_file, cluster_option
from untorn.cli.progress import StatusLine
from untorn.errors import OutOfReachError
from untorn.sim.costs import CostTable

if TYPE_CHECKING:
    from untorn.bench.run import BenchResult, Kind


def _check_plot(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
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


@click.command(
    epilog="""\b
    Example: untorn bench --target engine --target live --plot bench.svg
    Example: untorn bench --target sim:6.16 --reader none --reader maps --cpus 8 --scanners 16
    Example: untorn bench --target sim --cluster tcp://host:8786
    Example: untorn bench --exec 'pmap -x {pid}'
    Example: untorn bench --target live --resident 1024 --reader smaps_rollup --reader memory
    Exit status: 0 everything was measured; 1 interrupted, or what was named
    (or everything) is out of reach; 2 wrong usage."""
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    help="engine or engine:6.12 (as that Linux does it), sim or sim:6.12 (the same on a simulated "
    "machine), live (this kernel), or vm:KERNEL (another, in QEMU; see untorn kernels); "
    "repeatable.  [default: engine; with --exec, live]",
)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="R",
    help="A reader of the target, or 'READER, VARIANT'; repeatable.  "
    "[default: all it has; with --exec, none]",
)
@click.option(
    "--exec",
    "commands",
    multiple=True,
    metavar="CMD",
    callback=_check_commands,
    help="A command to run over and over instead of the scanners: {pid} in it stands for the "
    "mapper, {mount} for an untorn mount.",
)
@_option("nsamples", click.IntRange(min=1), "N", "Runs of each kind.")
@click.option(
    "--duration",
    type=Above(600),
    metavar="S",
    help=f"Seconds that a run measures.  [default: {BenchOptions().duration}; on a simulated "
    f"machine {BenchOptions().virtual_duration} of virtual time]",
)
@_option("busyduration", Above(1000), "MS", "Milliseconds that a busy task spins between sleeps.")
@_option("scanners", click.IntRange(1, 1024), "N", "Number of scanners, and of busy tasks.")
@_option("mb", click.IntRange(1, 1 << 27), "MB", "Size of the region where pages come and go.")
@_option("gap", Above(1e6), "US", "Microseconds between calls; use more for slow guests.")
@click.option(
    "--workload",
    type=click.Choice(list(WORKLOADS)),
    default=BenchOptions().workload,
    show_default=True,
    help="What to time: mmap and munmap, or the first touch of a page while these are called.",
)
@click.option(
    "--resident",
    "resident_mb",
    type=click.IntRange(0, 1 << 27),
    default=BenchOptions().resident_mb,
    show_default=True,
    metavar="MB",
    help="Resident memory of the mapper, in one additional VMA.",
)
@click.option("--huge", is_flag=True, help="Use huge pages for --resident.  [default: 4 KiB]")
@click.option(
    "--virtual-time",
    is_flag=True,
    help="Emulate guests (vm:KERNEL) in virtual time: the load of this machine is then not in it.",
)
@sim_options
@cluster_option
@_option("seed", click.IntRange(min=0), "N", "Seed of the choice of pages.")
@click.option("--locks", is_flag=True, help="Also count how often a pass takes mmap_lock.")
@click.option(
    "--calibrate",
    is_flag=True,
    help="Measure the costs of this kernel's code (sim, live) or a guest's, for target sim.",
)
@click.option(
    "--costs",
    "costs_file",
    type=OUTPUT_FILE,
    callback=check_file,
    metavar="FILE",
    help="The table of these costs.  [default: one in the cache to write, the package's to read]",
)
@click.option("--rawdata", is_flag=True, help="Print median, mean and max of each run, no table.")
@click.option(
    "--json",
    "json_file",
    type=OUTPUT_FILE,
    callback=check_file,
    metavar="FILE|-",
    help="Write all figures to this file; - for stdout instead of the table.",
)
@click.option(
    "--plot",
    "plot_file",
    type=OUTPUT_FILE,
    callback=_check_plot,
    metavar="FILE",
    help="Draw a picture into this .svg or .png file.",
)
@click.option(
    "--plot-kind",
    type=click.Choice(list(PLOT_KINDS)),
    help=f"What it shows: {'; '.join(PLOT_KINDS.values())}.  [default: shares; of more than four "
    "targets, targets]",
)
@click.option(
    "--html",
    "page_file",
    type=OUTPUT_FILE,
    callback=check_file,
    metavar="FILE",
    help="Write an HTML page with all figures and the plot.",
)
def bench(
    targets: tuple[str, ...],
    readers: tuple[str, ...],
    commands: tuple[str, ...],
    locks: bool,
    calibrate: bool,
    costs_file: Path | None,
    rawdata: bool,
    json_file: Path | None,
    plot_file: Path | None,
    plot_kind: str | None,
    page_file: Path | None,
    duration: float | None,
    address: str | None,
    **given: Any,
) -> None:
    """Measure how long mmap and munmap take while others read the map.

    A mapper maps and unmaps random pages. Scanners of low priority read its map over and over on
    another CPU, where busy tasks preempt them. The reader `none` is the same run without scanners.

    With --workload fault, the bench times read(2) into a page that was never touched, while another
    thread of the mapper maps and unmaps pages. With --resident, the mapper also has one large VMA,
    which smaps, smaps_rollup and clear_refs walk under one hold of a lock.

    Target sim runs the engine's code on a simulated machine in virtual time: the same command gives
    the same figures, to the last digit, on any machine, idle or busy. Its runs are spread over all
    CPUs, or with --cluster over the workers of a cluster.

    Besides latencies, the table has the ratio of the mean to that of `none`, the complete passes
    of the scanners, the runs in which the mapper hung, and what the target counts: how often the
    mapper was blocked by a lock or preempted, and how often a reader retried or fell back to
    mmap_lock.

    A picture shows at most six readers: `none`, those that were named, then the most important
    ones. It shows a variant only if that was named.

    --locks also counts how often a reader takes the mmap_lock of a process in one pass; the count
    is exact, even on a busy machine. On live it needs the right to trace (root).
    """
    if calibrate:
        _calibrate(targets, costs_file, virtual_time=given["virtual_time"])
        return
    if rawdata and json_file == Path("-"):
        raise click.UsageError("--rawdata and --json - both write to stdout")
    if duration is not None:
        given |= {"duration": duration, "virtual_duration": duration}
    options = BenchOptions(**given, costs=_load(costs_file))
    if options.huge and (not options.resident_mb or options.resident_mb % 2):
        raise click.UsageError("--huge needs a --resident of whole huge pages, 2 MB each")
    from untorn.bench.run import measure

    chosen = targets or (("live",) if commands else ("engine",))
    with StatusLine() as status:
        kinds = _kinds(chosen, readers, commands, status)
        if address and not any(kind.target.simulated for kind in kinds):
            raise click.UsageError("--cluster is for target sim")
        result = measure(kinds, options, status.show, locks=locks, address=address)
    if result.samples:
        named = (*readers, *(label(EXEC, command) for command in commands))
        output = Output(result, options, plot_kind, named)
        try:
            output.write(json_file, plot_file, page_file)
        finally:  # print what was measured even if a file cannot be written
            if json_file != Path("-"):
                output.print(raw=rawdata)
    _finish(result, bool(readers or commands))


def _calibrate(targets: tuple[str, ...], file: Path | None, *, virtual_time: bool) -> None:
    from untorn.cli.calibrate import calibrate

    if len(targets) > 1:
        raise click.UsageError("--calibrate measures one target")
    calibrate(targets[0] if targets else "sim", file, virtual_time=virtual_time)


def _load(costs_file: Path | None) -> CostTable | None:
    try:
        return CostTable.load(costs_file) if costs_file else None
    except ValueError as error:
        raise OutOfReachError(str(error)) from error


def _kinds(
    targets: tuple[str, ...],
    readers: tuple[str, ...],
    commands: tuple[str, ...],
    status: StatusLine,
) -> "list[Kind]":
    from untorn.bench.run import kinds_of
    from untorn.targets import bench_target

    try:
        found = [bench_target(name, status.show) for name in dict.fromkeys(targets)]
        return kinds_of(found, readers, commands)
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _finish(result: "BenchResult", by_name: bool) -> None:
    """Say on stderr what is missing, and end with status 1 if that is a failure."""
    reasons: dict[str, list[str]] = {}
    for kind, reason in result.out_of_reach.items():
        reasons.setdefault(reason, []).append(kind)
    for reason, kinds in reasons.items():
        which = f"{', '.join(kinds)}: " if result.samples else ""
        click.echo(f"{which}{reason}", err=True)
    if result.interrupted:
        click.echo(f"interrupted after {len(result.samples)} samples", err=True)
    if result.interrupted or not result.samples or (by_name and result.out_of_reach):
        click.get_current_context().exit(1)
