"""The options of untorn bench for simulated machines."""

from collections.abc import Callable
from typing import TypeVar

import click

from untorn.bench.target import BenchOptions

F = TypeVar("F", bound=Callable[..., object])
DEFAULT = BenchOptions()
CPUS = 1024
"""The most CPUs of a machine, and the most scanners."""


def sim_options(command: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--cpus",
        type=click.IntRange(2, CPUS),
        default=DEFAULT.cpus,
        show_default=True,
        metavar="N",
        help="With target sim: CPUs of the machine; the mapper has one to itself.",
    ),
    click.option(
        "--preemption",
        type=click.Choice(("full", "lazy", "none")),
        default=DEFAULT.preemption,
        show_default=True,
        help="With target sim: where the kernel preempts a thread. full: anywhere; lazy: in a "
        "system call only if another thread has waited for a whole tick; none: in a system call "
        "only where the kernel offers it, as in a walk of page tables.",
    ),
    click.option(
        "--nice",
        type=click.IntRange(-20, 19),
        default=DEFAULT.nice,
        show_default=True,
        metavar="N",
        help="With target sim: nice value of the scanners.",
    ),
    click.option(
        "--mapper-fifo",
        type=click.IntRange(0, 99),
        default=DEFAULT.mapper_fifo,
        metavar="N",
        help="With target sim: real-time priority of the mapper.  [default: none]",
    ),
)
