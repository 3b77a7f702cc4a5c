"""untorn kernels: list what `vm:` can boot here, and fetch more."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from untorn.errors import OutOfReachError, describe

if TYPE_CHECKING:
    from untorn.vm.debian import Package

_WIDTH = 120
"""Columns; wide enough that no name is cut."""
Row = tuple[str, str, str]
"""A name that `vm:` takes, its release, and where it is."""


@click.group(
    invoke_without_command=True,
    epilog="""\b
    Example: untorn kernels fetch 6.12
    Exit status: 0 good; 1 nothing can be booted here, or it cannot be
    fetched; 2 wrong usage.""",
)
@click.pass_context
def kernels(ctx: click.Context) -> None:
    """List the kernels that `vm:` can boot here, or fetch one.

    For each series, such as 6.12, the list has the newest release in the cache, and the newest that
    Debian has if that is another one. After vm: you can also write the name of a Debian kernel
    package, a release as `uname -r` prints it, or the path of an image, a .deb or a kernel tree.
    What is fetched is kept in the cache; nothing is installed.
    """
    if ctx.invoked_subcommand is not None:
        return
    from untorn.vm.qemu import find_qemu

    find_qemu()
    rows = [*_host(), *_packages()]
    if not rows:
        ctx.exit(1)
    _print(rows)


@kernels.command(
    epilog="""\b
    Example: untorn kernels fetch 6.12
    Exit status: 0 it is there; 1 it cannot be fetched; 2 wrong usage."""
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Fetch kernels from Debian, by series or by package.

    Of a series, such as 6.12, it fetches the newest. apt downloads the packages from Debian's
    suites into the cache; the host's own apt state is left alone.
    """
    from untorn.vm.kernels import fetch as fetch_kernel

    for name in names:
        kernel = fetch_kernel(name, _tell)
        click.echo(f"{name}: Linux {kernel.release}, {kernel.origin}")


def _tell(what: str) -> None:
    click.echo(what, err=True)


def _host() -> Iterator[Row]:
    from untorn.vm.images import release_of
    from untorn.vm.kernels import HOST, host_image

    try:
        image = host_image()
        yield HOST, release_of(image), str(image)
    except (OSError, OutOfReachError) as error:
        click.echo(f"{HOST}: {describe(error)}", err=True)


def _packages() -> Iterator[Row]:
    from untorn.vm.debian import packages
    from untorn.vm.kernels import cached_packages

    cached = _newest_by_series(cached_packages())
    try:
        offered = _newest_by_series(packages())
    except OutOfReachError as error:
        click.echo(str(error), err=True)
        offered = {}
    for series in sorted(cached | offered, key=lambda text: [*map(int, text.split("."))]):
        if series in cached:
            yield series, cached[series].release, "in the cache"
        if series in offered and offered[series] != cached.get(series):
            package = offered[series]
            name = package.release if series in cached else series
            yield name, package.release, f"{package.suite}, {package.size / 1e6:.0f} MB to fetch"


def _newest_by_series(packages: "list[Package]") -> "dict[str, Package]":
    return {package.series: package for package in packages}  # the newest comes last


def _print(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("vm:", "release", "where", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console(width=_WIDTH, markup=False).print(table)
