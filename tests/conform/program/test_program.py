"""Real programs, traced: what is compared, how they end, what is found."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.conform.program import programs
from tests.conform.program.programs import python
from tests.helpers.mounted import run_with_mounts
from tests.helpers.this_machine import or_skip
from untorn.conform.program import engine_calls
from untorn.conform.program import run as program_run
from untorn.conform.program.outcome import ProgramRun
from untorn.conform.program.run import run_program
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.abi import I386
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.errors import OutOfReachError
from untorn.releases.release import Release

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def _traced() -> None:
    or_skip(MinimalChild).close()


def agreed(text: str) -> ProgramRun:
    """Run a Python program of which everything must be compared, and must agree."""
    run = run_program(python(text))
    assert run.mismatches == []
    assert run.operations > 20
    return run


def test_threads_that_share_memory_are_let_in_one_after_the_other() -> None:
    run = agreed(programs.MAPS_IN_THREADS)
    assert (run.threads, run.processes, run.ending) == (5, 1, 0)
    assert run.counts["mremap", "ok"] >= 80


def test_children_are_compared_from_their_fork_on() -> None:
    run = agreed(programs.FORKS_TWICE)
    assert (run.processes, run.counts["fork", "ok"], run.ending) == (3, 2, 0)


def test_a_child_that_shares_memory_until_it_executes_another_program() -> None:
    run = agreed(programs.SPAWNS)
    assert (run.programs, run.processes, run.counts["fork", "ok"], run.ending) == (2, 2, 0, 0)


def test_a_thread_that_is_not_the_first_executes_another_program() -> None:
    run = agreed(programs.EXECS_IN_A_THREAD)
    assert (run.programs, run.processes, run.ending) == (2, 1, 0)


def test_signals_and_stops_reach_the_program() -> None:
    assert agreed(programs.IS_STOPPED_AND_TOLD).ending == 1


def test_threads_may_die_in_their_calls() -> None:
    assert agreed(programs.DIES_WITH_THREADS_IN_CALLS).ending == 3


def test_segments_are_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_calls, "_has_huge_pages", lambda: False)
    run = agreed(programs.ATTACHES_A_SEGMENT)
    assert (run.counts["shmat", "ok"], run.counts["shmdt", "ok"]) == (1, 1)


@pytest.mark.parametrize("mode", ["0o1660", "0o1604"])
def test_a_segment_of_another_user_is_not_attached(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    monkeypatch.setattr(engine_calls, "_has_huge_pages", lambda: False)
    run = agreed(programs.ATTACHES_AS_NOBODY.replace("MODE", mode))
    may_read = mode.endswith("4")
    assert run.counts["shmat", "EACCES"] == (1 if may_read else 2)
    assert run.counts["shmat", "ok"] == may_read


def test_a_limit_that_the_program_sets_counts() -> None:
    run = agreed(programs.LOWERS_A_LIMIT)
    assert (run.counts["mmap", "ENOMEM"] > 0, run.ending) == (True, 4)


def test_a_refusal_of_memory_that_is_written_and_executed_counts() -> None:
    run = agreed(programs.REFUSES_WRITE_AND_EXEC)
    assert (run.counts["mmap", "EACCES"], run.ending) == (1, 5)


def test_the_first_thread_may_end_before_others() -> None:
    assert agreed(programs.FIRST_THREAD_ENDS).ending == 6


def test_what_is_not_modelled_is_taken_and_counted() -> None:
    run = agreed(programs.REMAPS_FILE_PAGES)
    assert run.not_modelled == {"remap_file_pages": 1}


def test_a_mapping_of_a_driver_is_taken_and_lives_through_a_fork() -> None:
    run = agreed(programs.FORKS_WITH_SECRET_MEMORY)
    if run.ending == 77:
        pytest.skip("no secret memory on this machine")
    assert run.not_modelled == {"mmap of /secretmem (deleted)": 1}
    assert run.counts["fork", "ok"] == 1


def test_after_a_call_that_changes_all_later_ones_these_are_taken() -> None:
    run = agreed(programs.LETS_KSM_MERGE_ALL)
    if run.ending == 77:
        pytest.skip("the kernel cannot merge all pages of a process")
    assert run.not_modelled["prctl(PR_SET_MEMORY_MERGE)"] == 1
    assert run.not_modelled["mmap after prctl(PR_SET_MEMORY_MERGE)"] >= 1


def test_the_end_by_a_signal_is_told() -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert agreed(text).ending == -signal.SIGKILL


def test_without_the_filter_every_call_is_stopped_at() -> None:
    run = run_program(python(programs.FORKS_TWICE), filtered=False)
    assert (run.mismatches, run.counts["fork", "ok"], run.ending) == ([], 2, 0)


def test_a_program_of_32_bits_is_not_compared(tmp_path: Path) -> None:
    program = tmp_path / "minimal"
    program.write_bytes(minimal_elf.image(I386))
    program.chmod(0o700)
    try:
        run = run_program([str(program)])
    except OutOfReachError as error:
        pytest.skip(f"no program of 32 bits can be run here: {error}")
    assert run.not_modelled == {"a program of 32 bits": 1}
    assert (run.operations, run.mismatches) == (0, [])


def test_a_process_that_becomes_another_user_has_the_rights_and_limits_of_that_one() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    assert agreed(programs.BECOMES_NOBODY).ending == 0


def test_a_file_in_a_subvolume_has_the_device_that_maps_shows(tmp_path: Path) -> None:
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("no mkfs.btrfs here")
    run_with_mounts(programs.TRACED_ON_BTRFS, tmp_path)


def test_a_fork_by_the_call_of_32_bits_is_one() -> None:
    run = run_program(python(programs.FORKS_BY_THE_CALL_OF_32_BITS))
    if run.ending == -signal.SIGSEGV:
        pytest.skip("this kernel has no calls of 32 bits")
    assert (run.mismatches, run.counts["fork", "ok"], run.ending) == ([], 1, 3)


def test_calls_of_32_bits_are_taken_and_counted() -> None:
    run = run_program(python(programs.MAPS_BY_THE_CALLS_OF_32_BITS))
    if run.ending == -signal.SIGSEGV:
        pytest.skip("this kernel has no calls of 32 bits")
    assert run.not_modelled == {
        "mlock by int $0x80": 1,
        "set_anon_name by int $0x80": 1,
        "munmap by int $0x80": 1,
        "shmdt by int $0x80": 1,
    }
    assert (run.mismatches, run.ending) == ([], 0)


def test_a_call_that_waits_for_another_thread_s_call_lets_that_in() -> None:
    run = run_program(python(programs.WAITS_FOR_A_THREAD_THAT_MAPS))
    if run.ending == 77:
        pytest.skip("no userfaultfd for this user")
    assert (run.mismatches, run.ending) == ([], 0)
    assert run.not_modelled["madvise that waited for another thread"] == 1
    assert run.not_modelled["mmap beside a call that waited for another thread"] >= 4


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a program")
    text.chmod(0o700)
    with pytest.raises(OutOfReachError, match="Exec format error"):
        run_program([str(text)])
    with pytest.raises(OutOfReachError, match="no such program"):
        run_program([str(tmp_path / "nothing")])


def test_a_kernel_that_does_not_tell_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_run, "running_release", lambda: Release(6, 6))
    with pytest.raises(OutOfReachError, match=r"since Linux 6\.7"):
        run_program(["true"])


def test_nothing_is_left_open() -> None:
    def opened() -> list[str]:
        return [path.name for path in Path("/proc/self/fd").iterdir()]

    before = opened()
    agreed(programs.FORKS_TWICE)
    assert opened() == before
