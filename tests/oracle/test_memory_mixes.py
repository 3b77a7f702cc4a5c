"""Whatever regions a process has, and does with them, its memory is as smaps says."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import untorn
from tests.helpers.populated import BY_WRITES, EXACT, WAYS, Populated, differences
from tests.helpers.regions import ACTS, KINDS, PAGE, SLOT

pytestmark = pytest.mark.live
SMALL = sorted(set(KINDS) - {"reserved", "locked"})
"""Without locked memory, of which an ordinary user has little."""
PLACES = st.tuples(st.integers(0, SLOT // PAGE - 1), st.integers(1, 600))


class Step:
    """Something that a process does with one of its regions, as a line of Python.

    What the kernel refuses is not done.
    """

    def __init__(self, region: int, act: str, first: int, pages: int) -> None:
        self._region, self.act = region, act
        self._first, self._size = first * PAGE, min(pages * PAGE, SLOT - first * PAGE)

    def line(self, addresses: list[int]) -> str:
        at = addresses[self._region % len(addresses)] + self._first
        return f"regions.attempt({self.act!r}, {at}, {self._size})"

    def __repr__(self) -> str:
        return f"{self.act} of region {self._region}: {self._size} bytes from {self._first} on"


STEPS = st.builds(
    lambda region, act, place: Step(region, act, *place),
    st.integers(0, 3),
    st.sampled_from(sorted(ACTS)),
    PLACES,
)


@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(SMALL), min_size=1, max_size=4),
    before=st.lists(STEPS, max_size=4),
    by_the_child=st.lists(STEPS, max_size=4),
    after=st.lists(STEPS, max_size=3),
)
def test_a_mix_of_regions_is_as_smaps_says(
    kinds: list[str], before: list[Step], by_the_child: list[Step], after: list[Step]
) -> None:
    gives_up = any(step.act == "free" for step in (*before, *by_the_child, *after))
    with Populated() as process:
        addresses = [process.make(kind) for kind in kinds]
        for step in before:
            process.do(step.line(addresses))
        child = process.fork(f"[{', '.join(step.line(addresses) for step in by_the_child)}]")
        for step in after:
            process.do(step.line(addresses))
        for pid in process.pid, child:
            for how, max_hold in WAYS.items():
                look = partial(untorn.memory, pid, max_hold=max_hold, gentle=False)
                assert differences(pid, look, EXACT[how], BY_WRITES if gives_up else ()) == []
