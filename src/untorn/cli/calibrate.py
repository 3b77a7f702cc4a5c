"""untorn bench --calibrate: measure what a kernel's code costs, as a table for `sim`."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from untorn.cli.progress import StatusLine

if TYPE_CHECKING:
    from untorn.bench.calibrate.table import Calibration

_HERE = ("sim", "live")


def calibrate(target: str, path: Path | None, *, virtual_time: bool) -> None:
    """Measure, print what was measured, and write the table.

    Args:
        target: `sim` or `live` for the running kernel, or vm:KERNEL.
        path: The file to write; by default one in the cache that is named after the target.
        virtual_time: Whether to emulate a guest in virtual time.

    Raises:
        OutOfReachError: The target cannot be measured here.
        OSError: The file cannot be written.
    """
    if target not in _HERE and not target.startswith("vm:"):
        raise click.UsageError(f"--calibrate measures a kernel: {', '.join(_HERE)} or vm:KERNEL")
    with StatusLine() as status:
        status.show(f"calibrating {target}")
        calibration = _measure(target, status, virtual_time=virtual_time)
    _print(calibration)
    file = path or costs_file(target, virtual_time=virtual_time)
    calibration.table.save(file)
    click.echo(f"to use it: untorn bench --target sim --costs {file}")


def _measure(target: str, status: StatusLine, *, virtual_time: bool) -> "Calibration":
    from untorn.bench.calibrate.table import Calibration
    from untorn.vm.bench import VmBenchTarget

    if target in _HERE:
        return Calibration.here()
    guest = VmBenchTarget(target.removeprefix("vm:"), status.show)
    try:
        return guest.calibrate(virtual_time=virtual_time)
    finally:
        guest.close()


def costs_file(target: str, *, virtual_time: bool) -> Path:
    """Return the file in the cache that holds the costs of a target; make its directory."""
    from untorn.vm.cache import cache_folder

    name = re.sub(r"[^\w.]+", "-", "live" if target in _HERE else target)
    folder = cache_folder() / "costs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}{'-virtual-time' if virtual_time else ''}.json"


def _print(calibration: "Calibration") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = calibration.table
    shown = Table(title=f"Linux {table.kernel}, {table.cpu}", box=SIMPLE_HEAD)
    shown.add_column("what code costs")
    for column in ("ns", "lowest round", "highest round"):
        shown.add_column(column, justify="right")
    for name, cost in asdict(table.costs).items():
        rounds = calibration.rounds.get(name)
        spread = (f"{min(rounds):,.1f}", f"{max(rounds):,.1f}") if rounds else ("", "")
        shown.add_row(name, f"{cost:,.1f}", *spread)
    if table.assumed:
        shown.caption = f"not measured, but assumed: {', '.join(table.assumed)}"
    Console(markup=False).print(shown)
