"""The engine compared with a kernel in a guest: what travels, how it ends, several targets."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.helpers.processes import children_of, is_alive
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import or_skip
from untorn.cli import main
from untorn.conform import served
from untorn.conform.answer import Answer
from untorn.conform.operation import IN_MEMORY, Operation
from untorn.conform.outcome import ConformRun, Failure, ignore
from untorn.conform.pair import Mismatch, Pair
from untorn.conform.run import conform
from untorn.conform.script_text import parse_operation
from untorn.conform.target import ConformOptions
from untorn.errors import OutOfReachError, UntornError, os_error
from untorn.maps.page import PAGE_SIZE, page_aligned
from untorn.mm.calls import munmap
from untorn.mm.limits import OVERCOMMIT_NEVER
from untorn.mm.vmas.accounting import commit_allowed
from untorn.vm import conform as vm_conform
from untorn.vm.conform import GuestOracle, VmConformTarget
from untorn.vm.guest import GuestDiedError, GuestJob
from untorn.vm.kernels import Kernel, find_kernel
from untorn.vm.qemu import Machine, Mode, find_qemu
from untorn.vm.session import boot

RUN = ConformRun(
    counts=Counter({("brk", "ok"): 2, ("mmap", "ENOMEM"): 1}),
    scripts=1,
    seconds=0.5,
    failures=[
        Failure(
            "seed 3",
            0,
            [Operation("brk", (1 << 63,)), Operation("munlockall")],
            Mismatch(
                1,
                Operation("munlockall"),
                Answer(fault="AssertionError: planted"),
                Answer(-12, b"a name \xff\n", {"total_vm": 7}),
                "line 1: success",
            ),
        )
    ],
    interrupted=True,
    broken_off="the guest died: a reason",
    left_out=Counter({"a reason": 4}),
    release="6.12.117",
)


class HereGuest:
    """A guest that is this machine: requests travel as JSON, and are done here."""

    def __init__(self) -> None:
        self.dies_after = 1 << 30
        self.closed = False

    def call(self, job: GuestJob, timeout: float, **arguments: Any) -> Any:
        self.dies_after -= 1
        if self.dies_after < 0:
            raise GuestDiedError("the guest died: Kernel panic")
        done = job(lambda value: None, **json.loads(json.dumps(arguments)))
        return json.loads(json.dumps(done))

    def close(self) -> None:
        self.closed = True
        while served._serving:
            served._serving.pop().close()


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[HereGuest]:
    """What is booted; nothing on this machine is changed for it."""
    guest = HereGuest()
    booted: list[Machine] = []

    def boot(machine: Machine) -> tuple[HereGuest, str]:
        booted.append(machine)
        return guest, ""

    monkeypatch.setattr(served, "give_pages", lambda pages, overcommit: None)
    monkeypatch.setattr(vm_conform, "SETTINGS", {})
    monkeypatch.setattr(vm_conform, "boot", boot)
    monkeypatch.setattr(vm_conform, "find_qemu", lambda: "qemu")
    kernel = Kernel(Path("/k"), "6.12.117", "a package")
    monkeypatch.setattr(vm_conform, "find_kernel", lambda name, tell: kernel)
    before = children_of(os.getpid())
    yield guest
    guest.close()
    assert children_of(os.getpid()) == before
    assert all(machine.mode is Mode.SAFE for machine in booted)


@pytest.fixture
def can_trace() -> None:
    or_skip(Pair.live).close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["conform", *arguments])


def test_what_a_run_came_to_travels() -> None:
    assert ConformRun.from_json(json.loads(json.dumps(RUN.as_json()))) == RUN


def test_runs_add_up() -> None:
    both = ConformRun() + RUN + ConformRun(Counter({("brk", "ok"): 1}), 1, 1.5)
    assert both.counts == {("brk", "ok"): 3, ("mmap", "ENOMEM"): 1}
    assert (both.scripts, both.seconds, both.release) == (2, 2.0, "6.12.117")
    assert (both.failures, both.interrupted) == (RUN.failures, True)
    assert both.broken_off == "the guest died: a reason"
    assert both.left_out == {"a reason": 4}


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_a_kernel_that_is_elsewhere_says_the_same_as_here(guest: HereGuest) -> None:
    options = ConformOptions(operations=400, seeds=("1", "2"))
    elsewhere = VmConformTarget("6.12").conform(options, ignore)
    with Pair.live() as pair:
        here = conform(pair, 400, "1") + conform(pair, 400, "2")
    assert elsewhere.counts == here.counts
    assert (elsewhere.operations, elsewhere.failures) == (800, [])
    assert elsewhere.release == "6.12.117"
    assert guest.closed


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_a_mismatch_is_shrunk_there_and_printed_as_ever(
    guest: HereGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = munmap._checked_end

    def refuse(start: int, length: int) -> int:
        if not page_aligned(start):  # which is drawn early
            raise os_error(errno.ENOMEM)
        return check(start, length)

    monkeypatch.setattr(munmap, "_checked_end", refuse)
    done = run("--target", "vm:6.12", "--ops", "20000")
    assert done.exit_code == 1
    script = done.stdout.partition("# engine: ")[0].splitlines()
    assert script[0].startswith("# mismatch in script ")
    assert script[-1].startswith("munmap(")
    assert len(script) < 8
    assert "# engine: ENOMEM\n# kernel: EINVAL\n" in done.stdout


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_files_of_a_script_are_those_of_the_guest(guest: HereGuest) -> None:
    with Pair(GuestOracle(guest, "x86_64", {})) as pair:  # type: ignore[arg-type]
        pair.renew()
        opened = Operation("open_file", (700, 1, 8192, os.O_RDWR, IN_MEMORY))
        assert pair.step(opened) is None
        assert pair.step(Operation("mmap", (0, 8192, 3, 1, 700, 0))) is None
        assert b"/memfd:file 1 (deleted)" in pair.last.maps


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_a_guest_that_dies_is_told_as_what_it_is(guest: HereGuest) -> None:
    guest.dies_after = 1  # it is up, and nothing has been compared
    done = run("--target", "vm:6.12")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: the guest died: Kernel panic\n"
    assert guest.closed


def test_what_a_guest_cannot_do_is_told(guest: HereGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: GuestJob, timeout: float, **arguments: Any) -> Any:
        raise UntornError("in the guest: KeyError: 'mincore'")

    monkeypatch.setattr(guest, "call", fail)
    done = run("--target", "vm:6.12")
    assert (done.exit_code, done.stderr) == (1, "Error: in the guest: KeyError: 'mincore'\n")
    with pytest.raises(OutOfReachError, match="mincore"):
        VmConformTarget("6.12").conform(ConformOptions(1, ("0",)), ignore)


def test_page_tables_of_five_levels_are_asked_for_and_must_be_there(
    guest: HereGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    or_skip(Pair.live).close()
    monkeypatch.setattr("untorn.conform.live_oracle.task_size_of", lambda abi: abi.task_size)
    done = run("--target", "vm:6.12,la57", "--ops", "1")
    assert done.exit_code == 1
    assert done.stderr == "Error: this kernel's page tables have four levels, not five\n"


@pytest.mark.parametrize("name", ["engine", "vm:", "nowhere"])
def test_a_target_that_there_is_not_is_wrong_usage(name: str) -> None:
    done = run("--target", "live", "--target", name)
    assert done.exit_code == 2
    assert f"no target {name}; targets: live, vm:KERNEL" in done.stderr


def test_without_qemu_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise OutOfReachError("no QEMU")

    monkeypatch.setattr(vm_conform, "find_qemu", none)
    monkeypatch.setattr(vm_conform, "find_kernel", None)  # would fail if it were called
    done = run("--target", "vm:6.12")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "Error: no QEMU\n")


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_several_targets_are_a_table_and_one_out_of_reach_does_not_end_the_others() -> None:
    done = run("--target", "vm:/nonexistent", "--target", "live", "--ops", "200", "--seed", "1")
    assert done.exit_code == 1
    assert "/nonexistent" in done.stderr or "qemu" in done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    assert ["vm:/nonexistent", *"------"] in table
    assert f"live: Linux {os.uname().release}" in done.stdout
    live = next(line for line in table if line[:1] == ["live"])
    assert (live[1], live[2], live[-1]) == (os.uname().release, "200", "0")


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_runs_under_way_and_starts_no_more(number: signal.Signals) -> None:
    cpu = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpu), sys.executable, "-m", "untorn", "conform"]
    command += ["--ops", "1000000", "--target", "live", "--target", "vm:6.12"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:

        def grandchildren() -> list[int]:
            return [each for child in children_of(process.pid) for each in children_of(child)]

        wait_until(lambda: bool(grandchildren()), "the run at live has a child")
        children = [*children_of(process.pid), *grandchildren()]
        os.killpg(process.pid, number)  # to its whole group, as a terminal does
        stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.startswith("interrupted after ")
    assert "live: Linux" in stdout
    assert "vm:6.12" not in stdout
    assert not any(map(is_alive, children))


@pytest.mark.live
@pytest.mark.usefixtures("can_trace")
def test_what_was_compared_before_a_guest_died_is_told(guest: HereGuest) -> None:
    guest.dies_after = 100
    done = run("--target", "vm:6.12", "--ops", "100000")
    assert done.exit_code == 1
    compared = re.search(r"^seed 0: ([\d,]+) operations in", done.stdout, re.M)
    assert compared is not None
    number = int(compared[1].replace(",", ""))
    assert done.stderr == f"broken off after {number} operations: the guest died: Kernel panic\n"


@pytest.mark.vm
@pytest.mark.parametrize("machine", ["", ",la57"])
def test_a_real_guest_agrees_with_the_engine(machine: str) -> None:
    kernel = or_skip(lambda: (find_qemu(), find_kernel("6.18", lambda what: None))[1])
    made = VmConformTarget(kernel.release + machine).conform(ConformOptions(150, ("1",)), ignore)
    assert (made.operations, made.failures, made.release) == (150, [], kernel.release)
    assert children_of(os.getpid()) == set()


@pytest.mark.vm
def test_a_real_guest_that_never_overcommits_agrees_with_the_engine() -> None:
    kernel = or_skip(lambda: (find_qemu(), find_kernel("6.18", lambda what: None))[1])
    guest, _ = boot(Machine(kernel.image, Mode.SAFE, cpus=1, parts=("conform",)))
    with closing(guest):
        never = {"/proc/sys/vm/overcommit_memory": str(OVERCOMMIT_NEVER)}
        pair = Pair(GuestOracle(guest, "x86_64", never))
        pair.renew()
        mm = pair.engine.mm
        room = commit_allowed(mm) - mm.vm_committed.pages.load()
        large = f"{room * 3 // 5 * PAGE_SIZE}, PROT_READ | PROT_WRITE, MAP_ANONYMOUS"
        results = {}
        for call in (
            f"mmap(0x200000000000, {large} | MAP_PRIVATE | MAP_FIXED, -1, 0)",
            f"mmap(0x300000000000, {large} | MAP_SHARED | MAP_FIXED, -1, 0)",
            f"munmap(0x200000000000, {room * PAGE_SIZE})",
            f"mmap(0x300000000000, {large} | MAP_SHARED | MAP_FIXED | MAP_NORESERVE, -1, 0)",
        ):
            assert pair.step(parse_operation(call)) is None
            results[call] = pair.last.result
        assert list(results.values()) == [0x2000_0000_0000, -errno.ENOMEM, 0, 0x3000_0000_0000]
        assert conform(pair, 150, "1").failures == []
