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
        help="CPUs of a simulated machine; the mapper has one to itself.",
    ),
    click.option(
        "--preemption",
        type=click.Choice(("full", "lazy", "none")),
        default=DEFAULT.preemption,
        show_default=True,
        help="Preemption in its kernel: full, a thread is preempted anywhere; lazy, in a system "
        "call only if a tick finds that another thread has waited since before; none, only where "
        "the kernel offers it, as in a walk of page tables.",
    ),
    click.option(
        "--nice",
        type=click.IntRange(-20, 19),
        default=DEFAULT.nice,
        show_default=True,
        metavar="N",
        help="Nice value of its scanners.",
    ),
    click.option(
        "--mapper-fifo",
        type=click.IntRange(0, 99),
        default=DEFAULT.mapper_fifo,
        metavar="N",
        help="Real-time priority of its mapper.  [default: none]",
    ),
)
