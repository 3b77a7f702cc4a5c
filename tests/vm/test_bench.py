"""Target vm: what it makes of a guest's answers, and how it behaves without a guest."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.made_up import ENVIRONMENT, sample
from untorn.bench.lock_count import LockCount
from untorn.bench.run import kinds_of, measure
from untorn.bench.target import BenchOptions
from untorn.errors import OutOfReachError, UntornError
from untorn.targets import bench_target
from untorn.vm import bench, jobs
from untorn.vm.bench import VmBenchTarget
from untorn.vm.guest import GuestDiedError, GuestJob
from untorn.vm.kernels import Kernel
from untorn.vm.qemu import Machine, Mode

OPTIONS = BenchOptions(nsamples=2, mb=64)


def say_nothing(what: str) -> None:
    pass


class FakeSession:
    """A guest that answers at once; `fail` is called before each answer."""

    booted: list["FakeSession"]

    def __init__(self, machine: Machine) -> None:
        self.machine, self.up = machine, True
        self.booted.append(self)

    def call(self, function: GuestJob, timeout: float, **arguments: Any) -> Any:
        assert self.up
        self.fail(function)
        if function is jobs.describe:
            return asdict(ENVIRONMENT)
        reader, variant = arguments["reader"], arguments["variant"]
        if function is jobs.count_locks:
            return asdict(LockCount("live", reader, variant, 3, 4))
        return sample("live", reader, arguments["number"], 1.0, variant=variant).as_json()

    def fail(self, function: GuestJob) -> None:
        pass

    def hypervisor(self) -> str:
        return "QEMU, emulated"

    def close(self) -> None:
        self.up = False


@pytest.fixture(autouse=True)
def booted(monkeypatch: pytest.MonkeyPatch) -> list[FakeSession]:
    """What was booted."""
    guests: list[FakeSession] = []
    monkeypatch.setattr(FakeSession, "booted", guests, raising=False)
    monkeypatch.setattr(bench, "Session", FakeSession)
    monkeypatch.setattr(bench, "find_kernel", lambda name, tell: Kernel(Path("/k"), name, name))
    monkeypatch.setattr(bench, "find_qemu", lambda: "/q")
    return guests


def failing(monkeypatch: pytest.MonkeyPatch, fail: Callable[[FakeSession, GuestJob], None]) -> None:
    monkeypatch.setattr(FakeSession, "fail", fail)


def test_a_target_is_named_after_its_kernel() -> None:
    assert bench_target("vm:6.12", say_nothing).name == "vm:6.12"
    assert bench_target("vm:/a/b:c", say_nothing).name == "vm:/a/b:c"


def test_samples_are_the_guests_under_the_targets_name(booted: list[FakeSession]) -> None:
    target = VmBenchTarget("6.12", say_nothing)
    taken = [target.run("maps", OPTIONS, number) for number in range(2)]
    assert [(each.target, each.reader, each.sample) for each in taken] == [
        ("vm:6.12", "maps", 0),
        ("vm:6.12", "maps", 1),
    ]
    assert taken[0].mean_ms == 1.0
    assert len(booted) == 1


def test_a_sample_of_a_mapper_that_hung_comes_over_whole() -> None:
    hung = sample("vm:6.12", "maps", 0, hung=True)
    assert str(type(hung).from_json(hung.as_json())) == str(hung)  # NaN is not equal to itself


def test_locks_are_counted_in_a_guest_where_tracing_is_safe(booted: list[FakeSession]) -> None:
    target = VmBenchTarget("6.12", say_nothing)
    target.run("maps", OPTIONS, 0)
    assert target.count_locks("maps") == LockCount("vm:6.12", "maps", "", 3, 4)
    assert [(each.machine.mode, each.up) for each in booted] == [
        (Mode.FAST, False),
        (Mode.SAFE, True),
    ]


def test_virtual_time_is_that_of_a_guest_with_the_runs_seed(booted: list[FakeSession]) -> None:
    VmBenchTarget("6.12", say_nothing).run("maps", replace(OPTIONS, virtual_time=True, seed=7), 0)
    assert (booted[0].machine.mode, booted[0].machine.seed) == (Mode.REPLAY, 7)


def test_a_guest_has_room_for_resident_memory(booted: list[FakeSession]) -> None:
    target = VmBenchTarget("6.12", say_nothing)
    for resident_mb in 0, 512:
        target.run("none", replace(OPTIONS, resident_mb=resident_mb), 0)
    less, more = (each.machine.memory_mb for each in booted)
    assert more == less + 512


def test_a_guest_is_booted_again_only_for_a_command_that_is_new(booted: list[FakeSession]) -> None:
    target = VmBenchTarget("6.12", say_nothing)
    for number in range(2):
        target.run("none", OPTIONS, number)
        target.run("exec", OPTIONS, number, "cat {mount}/{pid}/maps")
        target.run("exec", OPTIONS, number, "true {pid}")
    first, second = "cat {mount}/{pid}/maps", "true {pid}"
    assert [each.machine.commands for each in booted] == [(), (first,), (first, second)]


def test_guests_follow_one_another_and_none_is_left(booted: list[FakeSession]) -> None:
    kinds = kinds_of(
        [VmBenchTarget("6.12", say_nothing), VmBenchTarget("7.3", say_nothing)], ["none", "maps"]
    )
    running: list[int] = []
    outcome = measure(
        kinds, OPTIONS, lambda *step: running.append(sum(each.up for each in booted)), locks=True
    )
    assert [(each.target, each.reader) for each in outcome.samples] == [
        *[("vm:6.12", "none"), ("vm:6.12", "maps")] * 2,
        *[("vm:7.3", "none"), ("vm:7.3", "maps")] * 2,
    ]
    assert [each.target for each in outcome.lock_counts] == ["vm:6.12", "vm:7.3"]
    assert max(running) == 1
    assert not any(each.up for each in booted)
    assert outcome.guests["vm:7.3"].guest_of == "QEMU, emulated"


@pytest.mark.parametrize("error", [OutOfReachError("no kernel 9.9"), OSError(28, "no kernel 9.9")])
def test_a_kernel_that_is_not_there_is_looked_for_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked = []

    def refuse(name: str, tell: object) -> None:
        asked.append(name)
        raise error

    monkeypatch.setattr(bench, "find_kernel", refuse)
    outcome = measure(kinds_of([VmBenchTarget("9.9", say_nothing)]), OPTIONS, locks=True)
    assert set(outcome.out_of_reach.values()) == {"no kernel 9.9"}
    assert asked == ["9.9"]


def test_a_fault_of_one_call_in_the_guest_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def fail_once(session: FakeSession, function: GuestJob) -> None:
        calls.append(function)
        if len(calls) == 3:
            raise UntornError("in the guest: MemoryError")

    failing(monkeypatch, fail_once)
    kinds = kinds_of([VmBenchTarget("6.12", say_nothing)], ("none", "maps", "smaps"))
    outcome = measure(kinds, replace(OPTIONS, nsamples=1))
    assert [each.reader for each in outcome.samples] == ["none", "smaps"]
    assert list(outcome.out_of_reach.values()) == ["in the guest: MemoryError"]


def test_a_guest_that_died_is_not_tried_with_every_reader(
    monkeypatch: pytest.MonkeyPatch, booted: list[FakeSession]
) -> None:
    def die(session: FakeSession, function: GuestJob) -> None:
        raise GuestDiedError("the guest died: Kernel panic")

    failing(monkeypatch, die)
    outcome = measure(kinds_of([VmBenchTarget("6.12", say_nothing)]), OPTIONS)
    assert set(outcome.out_of_reach.values()) == {"the guest died: Kernel panic"}
    assert (len(booted), outcome.guests) == (1, {})


def test_a_reader_that_a_guest_has_not_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    target = VmBenchTarget("6.1", say_nothing)
    target.run("maps", OPTIONS, 0)

    def refuse(session: FakeSession, function: GuestJob) -> None:
        raise OutOfReachError("reader query does not work here")

    with monkeypatch.context() as patch:
        failing(patch, refuse)
        with pytest.raises(OutOfReachError, match="reader query"):
            target.run("query", OPTIONS, 0)
    assert target.run("smaps", OPTIONS, 0).reader == "smaps"
