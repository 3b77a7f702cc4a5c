"""The checks that are made when a writer goes to sleep."""

import pytest

from untorn.check.explore import explore
from untorn.check.runtime.watching import watching
from untorn.check.stage.pages import R
from untorn.check.stage.stage import Stage
from untorn.check.strategies.depth_first import Dfs
from untorn.locking.rcu import rcu_read_lock, rcu_read_unlock
from untorn.mm.mmap_lock import (
    mmap_lock_speculate_try_begin,
    mmap_read_lock,
    mmap_read_unlock,
)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_reader_may_keep_mmap_lock_in_its_fallback_and_not_when_it_goes_on(
    goes_on: bool,
) -> None:
    def build(stage: Stage) -> None:
        mm = stage.process.mm
        stage.process.map(0, 1)

        def step() -> None:
            mmap_read_lock(mm)
            if goes_on:
                rcu_read_lock()
            mmap_lock_speculate_try_begin(mm)  # somewhere to be stopped at
            if goes_on:
                rcu_read_unlock()
            mmap_read_unlock(mm)

        stage.jobs[stage.read().task] = step
        stage.write(lambda: stage.process.protect(0, 1, R))

    with watching():
        found = explore(build, Dfs(1))
    broke = "writer waits while reader holds mmap_lock outside of its fallback"
    assert str(found.failure) == (broke if goes_on else "None")
