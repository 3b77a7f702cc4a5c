"""untorn export: memory figures of groups of processes for Prometheus."""

import sys
from typing import TYPE_CHECKING

import click

from untorn.cli.options import (
    cpu_share_option,
    max_hold_option,
    proc_option,
    seconds_option,
)
from untorn.cli.service import ended_by_signals, tell_ready
from untorn.errors import OutOfReachError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from untorn.serve.export.groups import Rule

_HOST, _PORT = "127.0.0.1", 17256
"""The ports that Prometheus gives to exporters, 9100 to 9999, are all taken."""


class _Address(click.ParamType[tuple[str, int]]):
    """Where to listen: HOST:PORT, [ADDRESS]:PORT, or :PORT for all addresses."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port; refuse anything else."""
        host, colon, port = str(value).rpartition(":")
        inner = host.removeprefix("[").removesuffix("]")
        if not (colon and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
            self.fail(f"{value} is not HOST:PORT", param, ctx)
        if ":" in inner and inner == host:
            self.fail(f"{value}: write an IPv6 address as [{host}]:{port}", param, ctx)
        return inner, int(port)


def _check_rules(
    ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]
) -> "list[Rule]":
    """Return the rules; refuse a text that is no rule."""
    from untorn.serve.export.groups import Rule

    try:
        return [Rule.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    epilog="""\b
    Example: untorn export --group 'db=cmdline:^postgres' --others cgroup
             untorn export --group '\\1=cgroup:/([^/]+)\\.service$' --once
    Exit status: 0 Ctrl-C or SIGTERM, or --once is done; 1 it cannot listen there,
    or there is no /proc; 2 wrong usage."""
)
@click.option(
    "--listen",
    "address",
    type=_Address(),
    metavar="ADDR",
    help="HOST:PORT, [ADDRESS]:PORT, or :PORT for all addresses; port 0 for any that is free.  "
    f"[default: {_HOST}:{_PORT}]",
)
@click.option("--once", is_flag=True, help="Print the metrics and exit.")
@click.option(
    "--group",
    "rules",
    multiple=True,
    callback=_check_rules,
    metavar="GROUP=SOURCE:REGEX",
    help="Put processes where REGEX is found in SOURCE (name, cmdline, cgroup) into GROUP, where "
    "\\1 is what the first parentheses matched. The first rule that matches decides. Repeatable.",
)
@click.option(
    "--others",
    type=click.Choice(["name", "cgroup", "none"]),
    default="name",
    show_default=True,
    help="How to group the processes that no --group matches; none leaves them out.",
)
@seconds_option("--max-age", 1, "How old figures may be, in seconds, when they are asked for.")
@seconds_option(
    "--patience",
    4,
    "Seconds that a scrape may take, half of them for counts of large processes. What is not known "
    "by then is shown as it was last, with its age.",
)
@max_hold_option
@cpu_share_option(
    0.1, "The share of a CPU that looks may take; counting large processes may take as much again."
)
@proc_option
def export(
    address: tuple[str, int] | None,
    once: bool,
    rules: "list[Rule]",
    others: str,
    max_age: float,
    patience: float,
    max_hold: float,
    cpu_share: float,
    proc: str,
) -> None:
    """Serve memory figures of groups of processes to Prometheus.

    The figures: resident, proportional, unique and swapped memory; VMAs, and how near a process is
    to vm.max_map_count; mapped bytes of deleted files; what the looks cost. A scrape looks at all
    processes. Those that are too large for one short call are counted slice by slice in the
    background, and shown as they were last counted. What is not known is absent.
    """
    if once and address:
        raise click.UsageError("with --once nothing listens: leave out --listen")
    _require_prometheus_client()
    from untorn.reader.access.task import pids_of
    from untorn.serve.export.collector import HostCollector, registry_of
    from untorn.serve.export.counts import Counts
    from untorn.serve.export.groups import Groups, Others
    from untorn.serve.export.passes import Passes
    from untorn.serve.export.process_looks import ProcessLooks

    pids_of(proc)  # fail at once if there is no procfs
    looks = ProcessLooks(Groups(rules, Others(others)), proc, max_hold / 1000, cpu_share)
    passes = Passes(looks, Counts(looks), max_age=max_age, patience=patience)
    budgets = {"pass": looks.looking, "count": looks.counting}
    registry = registry_of(HostCollector(passes, budgets, proc))
    if once:
        _print(registry)
    else:
        _serve(*(address or (_HOST, _PORT)), registry)


def _require_prometheus_client() -> None:
    try:
        import prometheus_client  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise OutOfReachError(
            "export needs prometheus-client: pip install 'untorn[export]'"
        ) from error


def _print(registry: "CollectorRegistry") -> None:
    from prometheus_client import generate_latest

    click.echo(generate_latest(registry), nl=False)
    sys.stdout.flush()


def _serve(host: str, port: int, registry: "CollectorRegistry") -> None:
    from untorn.serve.export.server import Server

    with ended_by_signals(), Server(host, port, registry) as server:
        click.echo(f"listening on {server.url}")
        sys.stdout.flush()
        tell_ready()
        server.serve_forever()
