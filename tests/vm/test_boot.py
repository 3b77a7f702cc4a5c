"""Real guests, from the archive to the answer."""

import os
from dataclasses import replace

import pytest

from tests.helpers.processes import children_of
from untorn.errors import OutOfReachError
from untorn.processes.long_run import ignore
from untorn.race.racing import Effort
from untorn.race.target import RaceOptions
from untorn.vm.bench import VmBenchTarget
from untorn.vm.kernels import find_kernel
from untorn.vm.qemu import find_qemu
from untorn.vm.race import VmRaceTarget

KERNELS = ("6.19", "7.0", "7.1", "6.18", "6.17")
"""Maps under VMA locks, smaps under mmap_lock: one boot gives both answers. Debian has each of
them only for a while."""


@pytest.fixture(scope="module")
def kernel() -> str:
    """A kernel that can be booted here."""
    try:
        find_qemu()
    except OutOfReachError as error:
        pytest.skip(str(error))
    reasons = []
    for name in KERNELS:
        try:
            return find_kernel(name, lambda what: None).release
        except OutOfReachError as error:
            reasons.append(str(error))
    pytest.skip("; ".join(reasons))


@pytest.mark.vm
def test_a_guest_boots_and_counts_the_locks_that_its_kernel_takes(kernel: str) -> None:
    target = VmBenchTarget(kernel, lambda what: None)
    try:
        maps, smaps = target.count_locks("maps"), target.count_locks("smaps")
        guest = target.environment
    finally:
        target.close()
    assert guest is not None
    assert (guest.kernel, guest.preemption, len(guest.cpus)) == (kernel, "full", 2)
    assert maps.calls > 20
    assert maps.acquisitions == 0
    assert smaps.acquisitions >= smaps.calls > 400
    assert children_of(os.getpid()) == set()


@pytest.mark.vm
def test_a_race_in_a_guest_follows_from_its_seed(kernel: str) -> None:
    target = VmRaceTarget(kernel)
    options = RaceOptions("maps", (), ("split",), Effort(0.5)).fill_in(target)

    def lines(seed: int) -> list[str]:
        told: list[str] = []
        assert target.race(replace(options, seed=seed), told.append, ignore).passed
        return told[2:]  # the first lines name kernel and seed

    assert lines(1) == lines(1) != lines(2)
    assert children_of(os.getpid()) == set()
