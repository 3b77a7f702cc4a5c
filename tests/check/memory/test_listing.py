"""docs/weak-memory.md has the current table of orders."""

from tests.helpers.repository import ROOT
from untorn.check.memory.listing import listing, name_of
from untorn.check.memory.orders import ACQUIRE, ONCE, RELEASE, SPINLOCK, Fence


def test_the_table_is_what_the_command_prints() -> None:
    page = (ROOT / "docs/weak-memory.md").read_text()
    assert listing() in page, "run python -m untorn.check.memory.listing, and put it there"


def test_an_order_is_named_with_all_that_it_promises() -> None:
    assert name_of(ONCE) == "relaxed"
    assert name_of(ONCE.fenced(before=Fence.MB)) == "relaxed, smp_mb before"
    assert name_of(RELEASE.fenced(after=Fence.WMB)) == "release, smp_wmb after"
    assert name_of(ACQUIRE.found()) == "acquire, through the root"
    assert name_of(SPINLOCK) == "spinlock"
