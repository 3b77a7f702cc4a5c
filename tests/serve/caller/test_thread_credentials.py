import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.askers_program import ALICE, BOB
from tests.helpers.nobody import as_root
from tests.helpers.tasks import wait_until
from untorn.serve.caller.thread_credentials import (
    Credentials,
    changed,
    own_credentials,
)

_IDS = Path("/proc/self/uid_map").read_text().split()
pytestmark = [
    as_root,
    pytest.mark.skipif(len(_IDS) == 3 and int(_IDS[2]) <= BOB, reason="there are no other users"),
]

SETUID = 1 << 7


def status(thread: str = "thread-self") -> list[str]:
    """Return the kernel's view of a thread's credentials."""
    names = "Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"
    lines = Path(f"/proc/{thread}/status").read_text().splitlines()
    return [line for line in lines if line.startswith(names)]


def alices(effective: int = 0, euid: int = BOB, uid: int = ALICE) -> Credentials:
    own = own_credentials().capabilities
    return Credentials(euid, uid, ALICE, (7, BOB), own._replace(effective=effective))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda: alices(),
        lambda: alices(SETUID),
        lambda: alices(uid=0),
        lambda: alices(euid=0),
        lambda: alices(euid=0, uid=0),
        lambda: alices(own_credentials().capabilities.effective),
    ],
)
def test_a_thread_has_what_it_wants_and_its_own_again(wanted: Callable[[], Credentials]) -> None:
    before, own = status(), own_credentials()
    other = wanted()
    with changed(own, other):
        inside = status()
    assert inside[0].split()[1:] == ["0", str(other.euid), "0", str(other.uid)]
    assert inside[1].split()[1:] == ["0", "0", "0", str(ALICE)]
    assert inside[2].split()[1:] == ["7", str(BOB)]
    assert int(inside[5].split()[1], 16) == other.capabilities.effective
    assert (status(), own_credentials()) == (before, own)


def test_a_thread_has_its_own_again_after_an_error() -> None:
    before = status()
    with pytest.raises(FileNotFoundError), changed(own_credentials(), alices()):
        os.stat("/proc/0")  # noqa: PTH116
    assert status() == before


def test_an_id_that_there_is_not_changes_nothing() -> None:
    before = status()
    with (
        pytest.raises(OSError, match="Invalid argument"),
        changed(own_credentials(), alices()._replace(groups=(0xFFFFFFFF,))),
    ):
        pytest.fail("it became somebody")
    assert status() == before


class ActingThread:
    """A thread that has Alice's credentials until it is told to return."""

    def __enter__(self) -> int:
        self._begun, self._told = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._begun.wait()
        assert self._thread.native_id
        return self._thread.native_id

    def _run(self) -> None:
        try:
            with changed(own_credentials(), alices(euid=0xFFFFFFFE)):
                self._begun.set()
                self._told.wait()
        finally:
            self._begun.set()

    def __exit__(self, *exc: object) -> None:
        self._told.set()
        self._thread.join()


def test_other_threads_and_programs_keep_what_they_have() -> None:
    before = status()
    with ActingThread() as tid:
        assert status() == before
        assert status(f"self/task/{tid}") != before
        shown = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True)
        assert f"Uid:\t{os.getuid()}\t" in shown.stdout
    wait_until(lambda: not Path(f"/proc/self/task/{tid}").exists())


def test_threads_that_act_at_once_are_each_its_own_user() -> None:
    own, wrong = own_credentials(), []
    before = status()

    def act(uid: int) -> None:
        wanted = alices(uid=uid)._replace(gid=uid, groups=(uid,))
        for _ in range(50):
            with changed(own, wanted):
                inside = status()
            ids = [line.split()[-1] for line in inside[:3]]
            if ids != [str(uid)] * 3 or status() != before:
                wrong.append(inside)

    threads = [threading.Thread(target=act, args=(uid,)) for uid in range(2000, 2008)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_user_whose_rights_a_thread_has_cannot_touch_it() -> None:
    attempts = f"""
import os, sys
tid = int(sys.argv[1])
os.setgroups([]); os.setgid({ALICE}); os.setuid({ALICE})
for attempt in (
    lambda: os.kill(tid, 0),
    lambda: os.sched_setaffinity(tid, {{0}}),
    lambda: os.setpriority(os.PRIO_PROCESS, tid, 19),
    lambda: os.sched_setscheduler(tid, os.SCHED_IDLE, os.sched_param(0)),
    lambda: open(f"/proc/{{tid}}/maps"),
):
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit("it could")
"""
    with ActingThread() as tid:
        done = subprocess.run(
            [sys.executable, "-I", "-c", attempts, str(tid)], capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_cannot_be_itself_again_ends() -> None:
    program = """
import resource
from untorn.serve.caller.thread_credentials import *
from untorn.serve.caller.thread_credentials import _capset
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
own = own_credentials()
with changed(own, own._replace(uid=1, capabilities=own.capabilities._replace(effective=0))):
    _capset(Capabilities(0, 0, 0))
print("it goes on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT
    assert done.stdout == ""
    assert done.stderr.startswith("untorn: ")


def test_who_may_not_become_others_changes_nothing() -> None:
    program = f"""
import os
from untorn.serve.caller.thread_credentials import *
os.setgroups([]); os.setgid({ALICE}); os.setuid({ALICE})
own = own_credentials()
for wanted in own._replace(uid={BOB}), own._replace(euid={BOB}), own._replace(groups=({BOB},)):
    try:
        with changed(own, wanted):
            print("it became", wanted)
    except PermissionError:
        assert own_credentials() == own
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_daemon_of_another_user_may_act_with_the_capabilities_for_it() -> None:
    program = f"""
import ctypes, os
from untorn.serve.caller.thread_credentials import *
from untorn.serve.caller.thread_credentials import _capset
ctypes.CDLL(None).prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
os.setgroups([]); os.setgid({BOB}); os.setuid({BOB})
kept = 1 << 0 | 1 << 6 | 1 << 7
_capset(Capabilities(kept, kept, 0))
own = own_credentials()
for uid in 0, {ALICE}, {BOB}:
    for euid in 0xfffffffe, {BOB}:
        wanted = Credentials(euid, uid, uid, (7,), Capabilities(1 << 0, kept, 0))
        with changed(own, wanted):
            assert capget(0) == wanted.capabilities
            assert os.geteuid() == euid
        assert own_credentials() == own
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
