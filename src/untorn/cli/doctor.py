"""untorn doctor: show what this kernel and machine offer."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from untorn.bench.environment import Environment
    from untorn.reader.access.capabilities import Capabilities

Row = tuple[str, str, str]
"""The subject, its state here, and a remark."""


@click.command(
    epilog="""\b
    Example: untorn doctor --json
    Exit status: 0 everything was probed; 1 /proc cannot be read; 2 wrong usage."""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Show what this kernel and machine offer.

    It says which maps files take mmap_lock, whether the kernel has the PROCMAP_QUERY ioctl, which
    priorities a task may have, and what else the commands need. It changes nothing.
    """
    from untorn.bench.environment import Environment
    from untorn.reader.access.capabilities import Capabilities
    from untorn.serve.fuse.support import mount_refusal

    environment, capabilities, refusal = Environment.here(), Capabilities.here(), mount_refusal()
    if as_json:
        click.echo(json.dumps(_as_json(environment, capabilities, refusal), indent=2))
    else:
        mount = "untorn mount", _yes(not refusal), refusal or "a /proc for agents"
        _print_table([*_environment(environment), *_capabilities(capabilities), mount])


def _as_json(
    environment: "Environment", capabilities: "Capabilities", refusal: str
) -> dict[str, object]:
    locking = [each._asdict() for each in capabilities.locking]
    return {
        "environment": asdict(environment),
        "capabilities": asdict(capabilities) | {"locking": locking, "mount_refusal": refusal},
    }


def _print_table(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("", "here", "remark", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)


def _environment(here: "Environment") -> Iterator[Row]:
    yield "kernel", here.kernel, f"preemption: {here.preemption or 'unknown'}"
    few = "" if len(here.cpus) > 1 else "the benchmark needs two"
    yield "CPUs allowed", ", ".join(map(str, here.cpus)), few
    gil = f"GIL on, switch interval {here.switch_interval_ms:g} ms" if here.gil else "GIL off"
    yield "Python", here.python, gil
    yield "load", " ".join(f"{load:.2f}" for load in here.load), "1, 5 and 15 minutes"


def _capabilities(here: "Capabilities") -> Iterator[Row]:
    for file, lock, evidence in here.locking:
        yield f"lock of {file}", lock, evidence
    limits = f"RLIMIT_NICE {here.rlimit_nice}, RLIMIT_RTPRIO {here.rlimit_rtprio}"
    held = "held" if here.cap_sys_nice else "not held"
    yield "lowest nice value", str(here.lowest_nice), f"CAP_SYS_NICE {held}, {limits}"
    yield "SCHED_FIFO", _yes(here.sched_fifo), "tried, and given back at once"
    how = f"raised to {here.raised_to}, paced" if here.raised_to else "paced, not raised"
    files = ", ".join(here.read_gently)
    yield "gentle reading", how, f"by itself for {files}" if files else "nothing here needs it"
    yield "QEMU", here.qemu or "no", "boots other kernels" if here.qemu else "not on PATH"
    plots = "plots" if here.matplotlib else "for plots: pip install 'untorn[plot]'"
    yield "matplotlib", _yes(here.matplotlib), plots


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
