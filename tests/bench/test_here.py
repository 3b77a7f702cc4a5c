"""The CPUs of a run."""

import os

import pytest

from untorn.bench.here import Cpus, choose_cpus
from untorn.errors import OutOfReachError


def test_mapper_and_scanners_get_the_outermost_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 2, 5})
    assert choose_cpus() == Cpus(mapper=2, scanners=7)


def test_one_cpu_is_not_enough_and_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    with pytest.raises(OutOfReachError, match=r"needs two CPUs.*only CPU 3"):
        choose_cpus()
