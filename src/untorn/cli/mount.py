"""untorn mount: serve a /proc to agents that cannot be changed."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from untorn.cli.options import (
    Above,
    cpu_share_option,
    max_hold_option,
    proc_option,
    seconds_option,
)
from untorn.cli.service import ended_by_signals, tell_ready
from untorn.reader.access.budget import HOLDS, SHARE

if TYPE_CHECKING:
    from untorn.serve.host.host import Costs, Host
    from untorn.serve.mounted import Mounted

_LIMITS = {"max_hold", "max_age", "patience", "late", "cpu_share", "holds"}


@click.command(
    epilog="""\b
    Example: untorn mount /run/untorn/proc &     # after mkdir -p /run/untorn/proc
             prometheus-process-exporter -procfs /run/untorn/proc
    Exit status: 0 ended by Ctrl-C or SIGTERM, or unmounted; 1 it cannot be
    mounted or unmounted; 2 wrong usage."""
)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@proc_option
@max_hold_option
@click.option(
    "--max-age",
    type=click.FloatRange(0, 86_400),
    default=1.0,
    show_default=True,
    metavar="S",
    help="How old the served texts may be, in seconds.",
)
@seconds_option(
    "--patience",
    5,
    "Seconds that a client waits for a look. The look continues, and serves the next client.",
)
@click.option(
    "--late",
    type=click.Choice(["last", "error"]),
    default="last",
    show_default=True,
    help="What a client gets if its look is late: the last text, or ETIMEDOUT. Without a last text "
    "it is always ETIMEDOUT.",
)
@cpu_share_option(SHARE, "The share of a CPU that all looks together may take.")
@click.option(
    "--holds",
    type=Above(1_000_000),
    default=HOLDS,
    show_default=True,
    metavar="N",
    help="Calls per second that hold a lock of a process, for all looks together.",
)
@click.option(
    "--engine", metavar="FILE", help="Serve processes of the engine that this Python file makes."
)
@click.option(
    "--strategy",
    type=click.Choice(["mmap_lock", "vma_lock", "rcu"]),
    default="vma_lock",
    show_default=True,
    help="How the engine reads maps.",
)
def mount(
    directory: str,
    proc: str,
    engine: str | None,
    strategy: str,
    **limits: Any,
) -> None:
    """Serve a /proc whose maps files stall no process.

    The files maps, smaps, smaps_rollup and numa_maps are read so that no lock of a process is held
    for long: see --max-hold. Everything else in DIR is the kernel's own. Point agents at DIR
    instead of /proc, or bind it (mount --rbind) over the /proc of a mount namespace. A client that
    may not read a file in /proc may not read it here either.

    With --engine, DIR shows processes of the engine: FILE is a Python program that defines
    `processes`, a mapping from PID to process, and may define `run`, which changes them while they
    are shown.

    Ctrl-C or SIGTERM unmounts it. On SIGUSR1 it reports on stderr what its looks have cost so far.
    """
    from untorn.serve.fuse.support import check_libraries

    _check_together(engine)
    check_libraries()
    from untorn.serve.mounted import check_numbers

    check_numbers(proc)  # before any process is looked up by number
    with ended_by_signals():
        if engine is None:
            _serve_host(directory, proc, **limits)
        else:
            _serve_engine(directory, engine, strategy, proc)


def _check_together(engine: str | None) -> None:
    """Refuse an option that does nothing."""
    ctx = click.get_current_context()
    only_with, only_without = {"strategy"}, _LIMITS
    for name in only_with if engine is None else only_without:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            problem = "needs" if engine is None else "does not go with"
            raise click.UsageError(f"{option} {problem} --engine")


def _serve_host(
    directory: str,
    proc: str,
    max_hold: float,
    max_age: float,
    patience: float,
    late: str,
    cpu_share: float,
    holds: float,
) -> None:
    from untorn.reader.access.budget import Budget
    from untorn.serve.host.host import Host
    from untorn.serve.host.shared import Late
    from untorn.serve.mount import mounted_proc

    directory, proc = str(Path(directory).absolute()), _stay_in(proc)
    with closing(
        Host(
            proc=proc,
            max_age=max_age,
            patience=patience,
            late=Late(late),
            max_hold=max_hold / 1000,
            budget=Budget(cpu_share, holds),
        )
    ) as host:
        _serve(_telling_costs(host, mounted_proc(directory, host, proc=proc)))


def _stay_in(proc: str) -> str:
    """Make a procfs the working directory, and return the path to it from there.

    It is then found even if our mount is bound over /proc. Raises OSError like chdir(2).
    """
    if path := os.environ.get("PYTHONPATH"):  # the watchdog imports with it
        places = [str(Path(place).absolute()) for place in path.split(os.pathsep)]
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
    os.chdir(proc)
    return "."


def _serve_engine(directory: str, file: str, strategy: str, proc: str) -> None:
    from untorn.serve.engine.load import load
    from untorn.serve.mount import mounted_engine

    emulator = load(file)
    mounted = mounted_engine(directory, emulator.processes, strategy, proc=proc)
    _serve(mounted, emulator.start)


def _serve(
    mounted: "AbstractContextManager[Mounted]", begin: Callable[[], object] = lambda: None
) -> None:
    """Serve a tree until it is unmounted or a signal ends it; call `begin` once it is mounted."""
    with mounted as tree:
        begin()
        tell_ready()
        tree.ended.wait()
        click.echo("note: somebody unmounted it", err=True)


@contextmanager
def _telling_costs(host: "Host", mounted: "AbstractContextManager[Mounted]") -> "Iterator[Mounted]":
    """While a tree is served, print on SIGUSR1 what looking has cost so far.

    Precondition: inside, this thread takes no lock of the host, because the handler takes them.
    """
    with mounted as tree:
        before = signal.signal(
            signal.SIGUSR1, lambda number, frame: click.echo(_told(host.costs), err=True)
        )
        try:
            yield tree
        finally:
            signal.signal(signal.SIGUSR1, before)


def _told(costs: "Costs") -> str:
    """Return one line that says what looking cost."""
    spent = costs.spent
    return (
        f"looks: {spent.looks}, failed: {costs.failed}, late for somebody: {costs.late}; "
        f"CPU time: {spent.seconds:.3f} s; calls that held a lock: {spent.holds}, "
        f"the longest: {spent.longest_hold_ns / 1e6:.3f} ms; "
        f"waits for the budget: {spent.waits}, {spent.waited:.3f} s"
    )
