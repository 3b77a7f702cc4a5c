"""Talking to a guest; QEMU is a script that says what a guest would."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import children_of
from untorn.errors import OutOfReachError, UntornError
from untorn.vm import guest as guest_module
from untorn.vm import init, session
from untorn.vm.guest import Guest, GuestDiedError
from untorn.vm.qemu import Machine, Mode
from untorn.vm.session import Session

MACHINE = Machine(Path("/kernel"))
SCRIPT = """
import json, os, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
def panic(text):
    print(text, file=sys.stderr, flush=True)
    sys.exit()
def ask():
    return json.loads(input())
"""
HELLO = 'say(hello="6.12.0")\n'
PANIC = "Kernel panic - not syncing: Fatal exception"
INT3 = f'panic("[ 1.6] Oops: int3: 0000 [#1]\\n[ 1.7] {PANIC}")\n'

Qemu = Callable[..., None]


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Qemu]:
    """Holds scripts; each guest runs the next one, and the last one again and again."""
    scripts: list[str] = []

    def command(machine: Machine, initramfs: int, console: int, *, kvm: bool) -> list[str]:
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return [sys.executable, "-c", f"kvm = {kvm}\n{SCRIPT}{script}"]

    def write(fd: int, requests: Sequence[bytes], **options: object) -> None:
        os.write(fd, b"a file system")

    monkeypatch.setattr(guest_module, "command", command)
    monkeypatch.setattr(guest_module, "write_initramfs", write)
    monkeypatch.setattr(session, "kvm_refusal", lambda mode: "no /dev/kvm")
    before = set(Path("/proc/self/fd").iterdir())
    yield lambda *texts: scripts.extend(texts)
    assert children_of(os.getpid()) == set()
    assert set(Path("/proc/self/fd").iterdir()) == before


def nothing() -> None:
    """What guests are asked to call: scripts, which answer anything."""


def boot(**options: Any) -> closing[Guest]:
    return closing(Guest(MACHINE, **{"kvm": False, "patience": 30.0} | options))


def test_a_guest_says_its_release_when_it_is_up(qemu: Qemu) -> None:
    qemu(HELLO + "ask()")
    with boot() as guest:
        assert guest.release == "6.12.0"


def test_a_call_returns_what_the_function_returned_and_passes_on_reports(qemu: Qemu) -> None:
    qemu(HELLO + "asked = ask(); say(progress=1); say(progress=2); say(result=asked); ask()")
    reports: list[int] = []
    with boot() as guest:
        answer = guest.call(nothing, 30, reports.append, size=3)
    assert answer == {"call": f"{__name__}:nothing", "arguments": {"size": 3}}
    assert reports == [1, 2]


def test_what_the_function_found_out_of_reach_is_so(qemu: Qemu) -> None:
    qemu(HELLO + 'ask(); say(error="no ioctl"); ask()')
    with boot() as guest, pytest.raises(OutOfReachError, match=r"^no ioctl$") as raised:
        guest.call(nothing, 30)
    assert not isinstance(raised.value, GuestDiedError)


def test_a_fault_of_the_function_is_told_with_what_the_console_says(qemu: Qemu) -> None:
    traceback = 'print("a traceback", file=sys.stderr)'
    qemu(HELLO + f'ask(); {traceback}; say(failure="KeyError: 1"); ask()')
    with boot() as guest, pytest.raises(UntornError, match="KeyError: 1\na traceback"):
        guest.call(nothing, 30)


@pytest.mark.parametrize("script", [INT3, HELLO + "ask()\n" + INT3])
def test_a_panic_is_told_in_one_line(qemu: Qemu, script: str) -> None:
    qemu(script)
    with (
        pytest.raises(GuestDiedError, match=f"^the guest died: {PANIC}$") as raised,
        boot() as guest,
    ):
        guest.call(nothing, 30)
    assert raised.value.int3


def test_an_image_that_cannot_be_unpacked_is_told_as_the_kernel_tells_it(qemu: Qemu) -> None:
    qemu('panic("early console\\n\\nZSTD-compressed data is corrupt\\n\\n -- System halted")')
    with pytest.raises(GuestDiedError, match=r"died: ZSTD-compressed data is corrupt$"):
        boot()


def test_a_complaint_of_qemu_is_told(qemu: Qemu) -> None:
    qemu('panic("qemu-system-x86_64: warning: a\\nqemu-system-x86_64: could not load kernel")')
    with pytest.raises(GuestDiedError, match=r"died: qemu-system-x86_64: could not load kernel$"):
        boot()


def test_a_guest_that_says_nothing_is_given_up(qemu: Qemu) -> None:
    qemu(HELLO + "time.sleep(600)")
    with boot() as guest, pytest.raises(GuestDiedError, match=r"hangs, silent for 0\.05 s"):
        guest.call(nothing, 0.05)


def test_what_is_asked_for_at_the_start_is_answered_in_turn(qemu: Qemu) -> None:
    qemu(HELLO + "say(result=1); say(result=2)")
    with boot(requests=[b"a\n", b"b\n"]) as guest:
        assert [guest.answer(30), guest.answer(30)] == [1, 2]


def test_ctrl_c_ends_a_boot_and_leaves_nothing(qemu: Qemu) -> None:
    qemu("os.kill(os.getppid(), 2); time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        boot()


def test_a_session_boots_when_it_is_needed_and_once(qemu: Qemu) -> None:
    qemu(HELLO + "count = 0\nwhile True: ask(); count += 1; say(result=count)")
    machine = Session(MACHINE)
    assert children_of(os.getpid()) == set()
    try:
        assert [machine.call(nothing, 30) for _ in range(3)] == [1, 2, 3]
    finally:
        machine.close()
    assert machine.emulated == "no /dev/kvm"


def test_a_guest_that_died_of_qemus_fault_is_booted_once_more(qemu: Qemu) -> None:
    qemu(HELLO + "ask()\n" + INT3, HELLO + "ask(); say(result=1); ask()")
    machine = Session(MACHINE)
    try:
        assert machine.call(nothing, 30) == 1
    finally:
        machine.close()
    assert machine.deaths == [f"the guest died: {PANIC}"]


def test_it_is_not_booted_a_third_time(qemu: Qemu) -> None:
    qemu(INT3)
    with pytest.raises(GuestDiedError):
        Session(MACHINE).call(nothing, 30)


def test_a_guest_that_died_of_something_else_is_not_booted_again(qemu: Qemu) -> None:
    qemu('panic("Kernel panic - not syncing: VFS: Unable to mount root fs")', HELLO + "ask()")
    machine = Session(MACHINE)
    with pytest.raises(GuestDiedError, match="Unable to mount root"):
        machine.call(nothing, 30)
    assert machine.deaths == []


@pytest.mark.parametrize("script", ["time.sleep(600)", 'panic("qemu-system-x86_64: no MSR")'])
def test_where_kvm_does_not_work_a_guest_is_emulated_and_kvm_not_tried_again(
    qemu: Qemu, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "kvm_refusal", lambda mode: "")
    monkeypatch.setattr(session, "_kvm", session._Verdict())
    monkeypatch.setattr(session, "KVM_PATIENCE", 0.3)
    qemu(f"if kvm: {script}\n{HELLO}ask()")
    for _ in range(2):
        guest, emulated = session.boot(MACHINE)
        guest.close()
        assert emulated.startswith("KVM does not work: the guest ")
        monkeypatch.setattr(session, "KVM_PATIENCE", None)  # would fail if it were tried again


def test_a_guest_that_does_not_come_up_at_all_says_nothing_of_kvm(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "kvm_refusal", lambda mode: "")
    monkeypatch.setattr(session, "_kvm", session._Verdict())
    qemu('panic("Kernel panic: no good")')
    with pytest.raises(GuestDiedError, match="no good"):
        session.boot(MACHINE)
    assert session._kvm.refusal == ""


def test_a_guest_runs_by_kvm_where_that_works(qemu: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "kvm_refusal", lambda mode: "")
    monkeypatch.setattr(session, "_kvm", session._Verdict())
    qemu(f"if not kvm: panic('emulated')\n{HELLO}ask()")
    guest, emulated = session.boot(MACHINE)
    guest.close()
    assert emulated == ""


def test_a_replay_is_never_run_by_kvm() -> None:
    from untorn.vm.qemu import kvm_refusal

    replayed = Machine(MACHINE.kernel, Mode.REPLAY)
    assert kvm_refusal(replayed) == "in virtual time, CPUs are emulated"


def answers(request: bytes) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    init.answer(request, sent.append)
    return sent


def reporting(report: Callable[[Any], None], **arguments: Any) -> Any:
    report("on it")
    return arguments


def refusing(report: Callable[[Any], None], kind: str) -> None:
    if kind == "OSError":
        raise FileNotFoundError(2, "No such file or directory", "/proc/1/maps")
    raise OutOfReachError("two CPUs are needed") if kind == "OutOfReachError" else KeyError("odd")


def test_the_guests_side_calls_what_it_is_asked_to_and_sends_what_that_returns() -> None:
    request = guest_module.request(reporting, size=3)
    assert answers(request) == [{"progress": "on it"}, {"result": {"size": 3}}]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("OSError", {"error": "/proc/1/maps: No such file or directory"}),
        ("OutOfReachError", {"error": "two CPUs are needed"}),
        ("KeyError", {"failure": "KeyError: 'odd'"}),
    ],
)
def test_the_guests_side_survives_what_it_calls(kind: str, sent: dict[str, str]) -> None:
    assert answers(guest_module.request(refusing, kind=kind)) == [sent]


def test_a_request_is_one_line() -> None:
    line = guest_module.request(nothing, text="two\nlines")
    assert line.count(b"\n") == 1
    assert json.loads(line)["arguments"] == {"text": "two\nlines"}
