"""Serve an oracle to an engine elsewhere: the requests that a guest gets, one after the other.

Each function is a GuestJob: JSON can carry its arguments and results. The other side is
vm/conform.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from untorn.conform.huge_pages import give_pages
from untorn.conform.live_oracle import LiveOracle
from untorn.conform.operation import Operation
from untorn.conform.running_kernel import check_machine
from untorn.conform.traced.abi import ABIS

Relay = Callable[[Any], None]
_serving: list[LiveOracle] = []
"""The oracle, once there is one."""


def start(relay: Relay, abi: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Start an oracle, which replaces an earlier one; return its facts.

    The machine, which has nothing else to do, gets a pool of huge pages.

    Args:
        relay: Not used.
        abi: A name of ABIS.
        settings: What to write before, by the path of the file.
    """
    for path, value in settings.items():
        Path(path).write_text(value)
    check_machine()
    while _serving:
        _serving.pop().close()
    give_pages(8, overcommit=4)
    _serving.append(LiveOracle(ABIS[abi]))
    return asdict(_serving[0].facts)


def renew(relay: Relay) -> dict[str, Any]:
    """Start over: see Oracle; return the fields of Start."""
    begun = _serving[0].renew()
    return asdict(begun) | {"answer": begun.answer.as_json()}


def make(relay: Relay, operations: list[list[list[Any]]], expected: list[str]) -> dict[str, Any]:
    """Make operations: see Oracle.

    Args:
        relay: Not used.
        operations: The calls of each operation; each is a name and its arguments.
        expected: The digest of the answer to each, or an empty string.

    Returns:
        agreed: How many answers were as expected; answer: the first that was not, or none.
    """
    calls = [[Operation(name, tuple(rest)) for name, *rest in each] for each in operations]
    agreed, answer = _serving[0].make(calls, expected)
    return {"agreed": agreed, "answer": answer.as_json() if agreed < len(expected) else None}


def substitute(relay: Relay, number: int, flags: int, where: int) -> dict[str, Any]:
    """Return the facts of a file that a script opens: see Oracle."""
    return _serving[0].substitute(number, flags, where)
