"""The root of the tree, asked as the kernel asks it, without a mount."""

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from untorn.serve.fuse.inodes import ROOT, Inodes
from untorn.serve.fuse.node import Caller, OpenFile
from untorn.serve.host.host import Host
from untorn.serve.host.opened import OpenTexts
from untorn.serve.procfs.links import Way
from untorn.serve.procfs.maps_file import MapsNode
from untorn.serve.procfs.process import ProcessDirectory, TaskDirectory
from untorn.serve.procfs.real import RealProc
from untorn.serve.procfs.root import ProcRoot

pytestmark = pytest.mark.live
MOST = 3
"""How many processes the root may know at a time."""
US = Caller(os.geteuid(), os.getegid(), os.getpid())


@pytest.fixture
def root() -> Iterator[ProcRoot]:
    with closing(Host()) as host:
        yield ProcRoot(RealProc("/proc"), host, Way("/proc"), MOST)


def found(root: ProcRoot, pid: int) -> ProcessDirectory:
    node = root.lookup(b"%d" % pid, US)
    assert isinstance(node, ProcessDirectory)
    return node


@contextmanager
def sleeping() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def pid_in(node: ProcessDirectory) -> int:
    """Return the first word of a process's stat file."""
    with os.fdopen(node.process.open("stat", US), "rb") as file:
        return int(file.read().split()[0])


def test_a_process_that_is_looked_up_during_its_forget_is_itself(root: ProcRoot) -> None:
    inodes = Inodes(root)
    with sleeping() as pid, ExitStack() as others:
        node = found(root, pid)
        number = inodes.learnt(node, ROOT, b"%d" % pid)
        meanwhile = found(root, pid)
        inodes.forgotten(number, 1)
        for _ in range(20):  # they get the next free PIDs
            file = os.open(f"/proc/{os.getpid()}", os.O_PATH)
            others.callback(os.close, file)
        assert meanwhile.attributes() == found(root, pid).attributes()
        assert pid_in(meanwhile) == pid


def descriptors() -> int:
    """Count processes: others may come and go meanwhile."""
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor by which this list is read
            count += re.fullmatch(r"/proc/\d+", str(fd.readlink())) is not None
    return count


def test_a_process_that_nobody_asks_for_any_more_takes_no_descriptor(root: ProcRoot) -> None:
    inodes = Inodes(root)
    with sleeping() as pid:
        before = descriptors()
        number = inodes.learnt(found(root, pid), ROOT, b"%d" % pid)
        assert descriptors() == before + 1
        inodes.forgotten(number, 1)
        assert descriptors() == before


def test_processes_that_are_gone_take_no_descriptors_though_nobody_forgets_them(
    root: ProcRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root, "_crowd", 2)
    before = descriptors()
    with sleeping() as pid:
        gone = found(root, pid)
    with sleeping() as pid:
        living = found(root, pid)
        assert descriptors() == before + 1
        with pytest.raises(ProcessLookupError):
            gone.attributes()
        assert found(root, pid) is living


def test_those_that_are_gone_make_room_when_there_is_none(root: ProcRoot) -> None:
    with ExitStack() as processes:
        living = [processes.enter_context(sleeping()) for _ in range(MOST - 1)]
        with sleeping() as pid:
            remembered = found(root, pid)
            nodes = [found(root, each) for each in living]
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                found(root, os.getpid())
            assert found(root, pid) is remembered
        assert found(root, os.getpid()).process.pid == os.getpid()
        assert [found(root, each) for each in living] == nodes


def test_open_files_keep_no_more_than_may_be(root: ProcRoot) -> None:
    texts = root._host.open_texts = OpenTexts(most=1)
    with sleeping() as one, sleeping() as other:
        files = [opened(root, pid) for pid in (one, other)]
        for file in files:
            assert len(file.read(10, 0, US)) == 10
        assert len(texts._users) == 1
        assert len(files[0].read(10, 10, US)) == 10
        for file in files:
            file.close()
        assert not texts._users


def opened(root: ProcRoot, pid: int) -> OpenFile:
    maps = found(root, pid).lookup(b"maps", US)
    assert isinstance(maps, MapsNode)
    return maps.open(os.O_RDONLY, US)


def test_threads_that_the_kernel_forgot_are_forgotten(root: ProcRoot) -> None:
    task = found(root, os.getpid()).lookup(b"task", US)
    assert isinstance(task, TaskDirectory)
    number = b"%d" % os.getpid()
    thread = task.lookup(number, US)
    assert task.lookup(number, US) is thread
    assert len(task._nodes) == 1
    del thread
    assert not task._nodes


def test_what_is_asked_after_the_file_was_closed_opens_nothing(root: ProcRoot) -> None:
    with sleeping() as pid:
        maps = found(root, pid).lookup(b"maps", US)
        assert isinstance(maps, MapsNode)
        file = maps.open(os.O_RDONLY, US)
        file.close()
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            file.ioctl(0, 0, b"", US)
