"""The root of the tree, asked as the kernel asks it, without a mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from untorn.serve.fuse.inodes import ROOT, Inodes
from untorn.serve.fuse.node import Caller
from untorn.serve.host.host import Host
from untorn.serve.procfs.links import Way
from untorn.serve.procfs.process import ProcessDirectory
from untorn.serve.procfs.real import RealProc
from untorn.serve.procfs.root import ProcRoot

pytestmark = pytest.mark.live
US = Caller(os.geteuid(), os.getegid(), os.getpid())


@pytest.fixture
def root() -> Iterator[ProcRoot]:
    with closing(Host()) as host:
        yield ProcRoot(RealProc("/proc"), host, Way("/proc"))


def found(root: ProcRoot, pid: int) -> ProcessDirectory:
    node = root.lookup(b"%d" % pid, US)
    assert isinstance(node, ProcessDirectory)
    return node


@contextmanager
def sleeping() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def comm_of(node: ProcessDirectory) -> bytes:
    file = node.process.open("comm", US)
    with os.fdopen(file, "rb") as opened:
        return opened.read()


def test_a_process_that_is_looked_up_during_its_forget_is_itself(root: ProcRoot) -> None:
    inodes = Inodes(root)
    with sleeping() as pid, ExitStack() as others:
        node = found(root, pid)
        number = inodes.learnt(node, ROOT, b"%d" % pid)
        meanwhile = found(root, pid)
        inodes.forgotten(number, 1)
        for _ in range(20):  # they get the next numbers that are free
            file = os.open(f"/proc/{os.getpid()}", os.O_PATH)
            others.callback(os.close, file)
        assert meanwhile.attributes() == found(root, pid).attributes()
        assert comm_of(meanwhile) == b"sleep\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_that_nobody_asks_for_any_more_takes_no_descriptor(root: ProcRoot) -> None:
    inodes = Inodes(root)
    with sleeping() as pid:
        before = descriptors()
        number = inodes.learnt(found(root, pid), ROOT, b"%d" % pid)
        assert descriptors() == before + 1
        inodes.forgotten(number, 1)
        assert descriptors() == before
