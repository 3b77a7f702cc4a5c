"""Find the access of the table that a place in the running code makes."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType

from untorn.check.memory.orders import Order
from untorn.check.memory.table import BY_CALLER, ORDERS, Site
from untorn.errors import UntornError


class UnlistedError(UntornError):
    """Code accesses shared state at a place for which the table has no order."""


_orders: dict[Site, Order] = dict(ORDERS)
FOUND: dict[tuple[int, ...], Order] = {}
"""Results by the id of a code object and the place in it (for BY_CALLER, also the caller's
code)."""
_codes: dict[int, CodeType] = {}  # keeps code objects alive, so that their ids stay unique


@contextmanager
def changed(orders: Mapping[Site, Order]) -> Iterator[None]:
    """Give some accesses another order: a mutant."""
    before = {site: _orders[site] for site in orders}
    try:
        FOUND.clear()
        _orders.update(orders)
        yield
    finally:
        FOUND.clear()
        _orders.update(before)


def order_at(frame: FrameType, what: str) -> Order:
    """Return the order of the access that a frame is about to make.

    Args:
        frame: A frame of the production code.
        what: The access, as in Site.

    Raises:
        UnlistedError: The table has no such access.
    """
    key = (id(frame.f_code), frame.f_lasti)
    known = FOUND.get(key)
    if known is not None:
        return known
    if frame.f_code.co_name in BY_CALLER:
        assert frame.f_back is not None
        return _of_caller(frame, frame.f_back, what)
    known = FOUND[key] = _look_up(_function(frame.f_code), what, _ordinal(frame, what))
    _codes[key[0]] = frame.f_code
    return known


def _of_caller(frame: FrameType, caller: FrameType, what: str) -> Order:
    key = id(frame.f_code), frame.f_lasti, id(caller.f_code)
    known = FOUND.get(key)
    if known is None:
        known = FOUND[key] = _look_up(_function(caller.f_code), what, _ordinal(frame, what))
        _codes[key[0]], _codes[key[2]] = frame.f_code, caller.f_code
    return known


def _look_up(function: str, what: str, ordinal: int) -> Order:
    for site in (
        Site(function, what, ordinal),
        Site(function, what),
        Site("", what),
    ):
        if site in _orders:
            return _orders[site]
    raise UnlistedError(f"no order is listed for {what} number {ordinal} in {function}")


def _function(code: CodeType) -> str:
    """Return the table's name of a function: its own and that of its class, if it has one."""
    name = code.co_qualname
    if code.co_filename.startswith("<mutant "):  # a mutant's source is that of the function alone
        name = next((f for f, _, _ in _orders if f.endswith(f".{name}")), name)
    for inlined in ("listcomp", "setcomp", "dictcomp"):  # no functions any more in Python 3.12
        name = name.removesuffix(f".<locals>.<{inlined}>")
    return name


def _ordinal(frame: FrameType, what: str) -> int:
    """Return its number among a function's accesses of that kind, in code order."""
    operation, _, field = what.partition(" ")
    # A method of a counter is loaded, and then called.
    codes = (f"{operation.upper()}_ATTR",) if field else ("LOAD_METHOD", "LOAD_ATTR")
    return sum(
        each.argval == (field or operation) and each.opname in codes
        for each in dis.get_instructions(frame.f_code)
        if each.offset <= frame.f_lasti
    )
