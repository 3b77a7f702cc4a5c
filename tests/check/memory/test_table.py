"""The table of orders: every access has an order, and every row belongs to an existing access."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType

import pytest

from tests.helpers.repository import ROOT
from untorn.check.explore import Exploration, explore
from untorn.check.memory import sites
from untorn.check.memory.modes import search, watching_in
from untorn.check.memory.orders import ONCE
from untorn.check.memory.sites import UnlistedError, changed
from untorn.check.memory.table import BY_CALLER, ORDERS, ROWS, Site
from untorn.check.scenarios import SCENARIOS
from untorn.check.strategies.script import Script

CODE = ROOT / "src" / "untorn"


def explored(name: str, schedules: int = 1 << 60) -> Exploration:
    scenario = SCENARIOS[name]
    strategy = search("linux") if scenario.script is None else Script(scenario.script)
    with watching_in("linux", speculated=scenario.speculated):
        return explore(scenario.build, strategy, stop=lambda found: found.schedules >= schedules)


def test_every_access_of_every_scenario_has_an_order() -> None:
    for name, scenario in SCENARIOS.items():
        if not scenario.deep:
            found = explored(name, 2)
            assert found.failure is None, name


def test_an_access_without_an_order_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Site("vma_refcount_put", "add")
    monkeypatch.delitem(sites._orders, missing)
    told = "no order is listed for add number 1 in vma_refcount_put"
    with changed({}), pytest.raises(UnlistedError, match=told):
        explored("maps/split-above")


def codes() -> Iterator[CodeType]:
    """Give every function of what is checked."""
    for path in [
        CODE / "syscalls.py",
        *(p for d in ("mm", "fs", "locking") for p in (CODE / d).rglob("*.py")),
    ]:
        found = [compile(path.read_text(), str(path), "exec")]
        for code in found:
            found += [each for each in code.co_consts if isinstance(each, CodeType)]
        yield from found


def test_every_row_is_of_an_access_that_there_is() -> None:
    names: dict[str, set[str]] = {}
    for code in codes():
        names.setdefault(code.co_qualname, set()).update(code.co_names)
    everywhere = set().union(*names.values())
    called = set().union(*(names[each] for each in BY_CALLER))
    for function, what, _ in ORDERS:
        assert function in names or not function
        name = what.split()[-1]
        if name not in ("lock", "unlock"):
            own = names.get(function, everywhere)
            assert name in own | (called if own & set(BY_CALLER) else set()), (function, what)


def test_no_access_stands_there_twice() -> None:
    assert len(ROWS) == len(ORDERS)


def test_a_changed_order_is_that_for_as_long_as_it_is_changed() -> None:
    site = Site("vma_start_read", "inc_not_zero_limited")
    with changed({site: ONCE.found()}):
        assert str(explored("maps/split-above").failure).startswith(
            "reader's load of A.vm_end races"
        )
    assert explored("maps/split-above").passed


def test_an_order_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(KeyError), changed({Site("vma_start_read", "nothing"): ONCE}):
        pass
