"""The engine against the running kernel, seen from outside; and what a mismatch looks like."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.engine import text_of
from tests.helpers.this_machine import or_skip
from untorn.conform import pair, running_kernel
from untorn.conform.case_text import parse_cases, parse_script
from untorn.conform.huge_pages import KernelPools
from untorn.conform.operation import Operation
from untorn.conform.pair import Expectation, Pair
from untorn.conform.report import failure_report, summary
from untorn.conform.run import conform, conform_case, replay
from untorn.conform.running_kernel import KnownDifference
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import I386, X86_64, Abi
from untorn.errors import InvariantError, OutOfReachError, os_error
from untorn.fs.from_maps.address_space import mm_from_maps
from untorn.fs.proc import smaps_text
from untorn.mm import mm_types
from untorn.mm.calls import mlock, munmap
from untorn.mm.vmas import merge
from untorn.releases.release import Release, running_release
from untorn.syscalls import Process

pytestmark = pytest.mark.live


@pytest.fixture
def both() -> Iterator[Pair]:
    with or_skip(Pair.live) as pair:
        yield pair


def test_this_process_maps_come_back_to_the_byte() -> None:
    maps = Path("/proc/self/maps").read_bytes()
    assert text_of(Process(mm_from_maps(maps))) == maps


def test_a_few_thousand_operations_agree_and_most_succeed(both: Pair) -> None:
    outcome = conform(both, 4000, "1")
    assert not outcome.failures
    assert outcome.operations == 4000
    assert outcome.succeeded > 0.6
    assert {name for name, _ in outcome.counts} > {"mmap", "mremap", "fork", "exit", "touch_write"}


@pytest.mark.parametrize(("abi", "topdown"), [(I386, True), (I386, False), (X86_64, False)])
def test_processes_of_other_kinds_agree(abi: Abi, topdown: bool) -> None:
    with or_skip(lambda: Pair.live(abi, topdown=topdown)) as both:
        outcome = conform(both, 2000, "1")
        assert not outcome.failures
        assert outcome.operations == 2000
        assert outcome.succeeded > 0.6
        assert both.engine.mm.topdown == topdown
        assert both.engine.mm.task_size == abi.task_size


def test_a_process_of_32_bits_takes_of_each_argument_what_a_register_holds() -> None:
    with or_skip(lambda: Pair.live(I386)) as both:
        both.renew()
        for made in (
            Operation("mmap", (0x1000_0000, 0x2000, 3, 0x32, -1, 0)),
            Operation("touch_write", (0x1000_0000,)),
            Operation("mincore", (0x2000_1000_0000, 0x2000_0000_1000, 0x2000_1000_1000)),
        ):
            assert both.step(made) is None
        assert both.last.result == 1


def test_what_a_program_starts_with_is_in_memory(both: Pair) -> None:
    start = both.kernel.renew()
    assert any(page != minimal_elf.BASE for page in start.resident)
    vector = "mmap(0x10000, PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)"
    asked = [f"mincore({page}, 0x1000, 0x10000) -> 1" for page in start.resident]
    (case,) = parse_cases("\n".join(["case what is in memory", vector, *asked]))
    outcome = conform_case(both, case, "a test")
    assert not outcome.failures
    assert outcome.operations == 1 + len(start.resident)


def operations_of(both: Pair, seed: str, monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    made: list[Operation] = []
    go_ahead = Pair.go_ahead

    def noted(self: Pair, what: Operation, expected: Expectation) -> bool:
        made.append(what)
        return go_ahead(self, what, expected)

    with monkeypatch.context() as patch:
        patch.setattr(Pair, "go_ahead", noted)
        conform(both, 500, seed)
    return made


def test_a_seed_decides_every_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    # Others' use of this machine's huge pages matters, too, if they are mapped.
    monkeypatch.setattr(KernelPools, "lock", lambda pools, *, alone: False)
    with or_skip(Pair.live) as both:
        one, again, other = (operations_of(both, seed, monkeypatch) for seed in ("1", "1", "2"))
    assert len(one) == 500
    assert one == again
    assert one != other


def wrong_merge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(merge.Attributes, "_anon_vma_mergeable", lambda self, vma: True)


def wrong_errno(patch: pytest.MonkeyPatch) -> None:
    check = munmap._checked_end

    def refuse(start: int, length: int) -> int:
        if not length:
            raise os_error(errno.ENOMEM)
        return check(start, length)

    patch.setattr(munmap, "_checked_end", refuse)


def an_assertion(patch: pytest.MonkeyPatch) -> None:
    def fail(mm: mm_types.MmStruct, flags: int) -> None:
        raise AssertionError("planted")

    patch.setattr(mlock, "_apply_mlockall_flags", fail)


def a_count_that_drifts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mm_types, "is_data_mapping", lambda flags: False)


def a_flag_that_is_shown_wrong(patch: pytest.MonkeyPatch) -> None:
    text_of = smaps_text.vm_flags_text
    patch.setattr(
        smaps_text,
        "vm_flags_text",
        lambda flags, release: text_of(flags, release).replace(b"lo ", b"xx "),
    )


def a_broken_invariant(patch: pytest.MonkeyPatch) -> None:
    def fail(mm: mm_types.MmStruct) -> None:
        if mm.locked_vm:
            raise InvariantError("planted")

    patch.setattr(mm_types.MmStruct, "check_invariants", fail)


@pytest.mark.parametrize(
    ("plant", "shown"),
    [
        (wrong_merge, "# +++ kernel maps"),
        (wrong_errno, "# engine: ENOMEM"),
        (an_assertion, "# engine: AssertionError: planted (conform/test_run.py"),
        (a_count_that_drifts, "# data_vm: engine "),
        (a_flag_that_is_shown_wrong, "# +++ kernel smaps"),
        (a_broken_invariant, "# engine: InvariantError: planted (conform/test_run.py"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_fault_of_the_engine_is_shown_by_a_short_script_that_shows_it_again(
    plant: Callable[[pytest.MonkeyPatch], None],
    shown: str,
    both: Pair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        (failure,) = conform(both, 50_000, "1").failures
        assert len(failure.operations) <= 8
        report = "\n".join(failure_report(failure))
        assert "seed 1" in report
        assert shown in report
        script = parse_script(report)
        assert script == failure.operations
        (case,) = parse_cases(report)
        assert conform_case(both, case, "a script").failures
        assert all(replay(both, script[:n] + script[n + 1 :]) is None for n in range(len(script)))
    assert replay(both, script) is None


def made_up(release: Release) -> KnownDifference:
    return KnownDifference(
        since=release,
        until=Release(release.major, release.minor + 1),
        reason="brk is another thing there",
        concerns=lambda mm, operation: operation.name == "brk",
    )


@pytest.mark.parametrize(("shift", "left_out"), [(0, True), (1, False), (-1, False)])
def test_what_differs_in_this_release_alone_is_left_out_and_told(
    shift: int, left_out: bool, both: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    major, minor, _ = running_release()
    monkeypatch.setattr(running_kernel, "DIFFERENCES", (made_up(Release(major, minor + shift)),))
    outcome = conform(both, 500, "1")
    assert not outcome.failures
    assert ("brk" not in {name for name, _ in outcome.counts}) == left_out
    assert (outcome.left_out["brk is another thing there"] > 0) == left_out
    assert any("brk is another thing" in line for line in summary(outcome, "seed 1")) == left_out


def test_a_process_that_starts_in_another_way_is_out_of_reach(
    both: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise ValueError("line 1 lies above")

    monkeypatch.setattr(pair, "mm_from_maps", refuse)
    with pytest.raises(OutOfReachError, match="line 1 lies above"):
        both.renew()
