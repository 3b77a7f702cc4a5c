"""An engine that starts from the maps of a real process maps as that goes on to: to the byte."""

import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.helpers.engine import text_of
from tests.helpers.tasks import wait_until
from tests.helpers.victim import Victim
from tests.oracle.kernel_process import why_not
from tests.oracle.worlds import ANONYMOUS, answer
from untorn.conform.traced.ptrace import Tracee
from untorn.errors import NotModelledError
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm.limits import RLIM_INFINITY, Limits
from untorn.mm.mman import MAP_FIXED_NOREPLACE, PROT_EXEC, PROT_WRITE
from untorn.mm.vmas.driver import has_driver
from untorn.syscalls import Process

pytestmark = pytest.mark.live

P = PAGE_SIZE
WAITS_FOR_INPUT = b"0 0x0 "
"""How /proc/PID/syscall begins while it reads from descriptor 0."""
ODD = PROT_WRITE | PROT_EXEC
"""A protection that no program has, so that nothing merges with what it mapped itself."""
CAT = "/bin/cat"
PROGRAMS = {
    "cat": [CAT],
    "python": [sys.executable, "-c", "input()"],
    "without randomization": ["setarch", "-R", CAT],
    "bottom up": ["setarch", "-L", CAT],
    "bottom up without randomization": ["setarch", "-RL", CAT],
    "small stack": ["sh", "-c", f"ulimit -Ss 100; exec {CAT}"],
    "large stack": ["sh", "-c", f"ulimit -Ss 1000000; exec {CAT}"],
    "any stack": ["sh", "-c", f"ulimit -Ss unlimited; exec {CAT}"],
}


class Stopped:
    """A process stopped while it waits for input; it makes the calls that it is told to."""

    def __init__(self, pid: int) -> None:
        self._tracee = Tracee.seize(pid)
        self._directory = Path(f"/proc/{pid}")
        self._syscall = self._find_syscall()
        soft = resource.prlimit(pid, resource.RLIMIT_STACK)[0]
        self.limits = Limits(
            rlimit_stack=RLIM_INFINITY if soft == resource.RLIM_INFINITY else soft,
            rlimit_memlock=RLIM_INFINITY,
        )

    def maps(self) -> bytes:
        return (self._directory / "maps").read_bytes()

    def call(self, name: str, *arguments: int) -> int:
        return self._tracee.call(self._syscall, name, *arguments)

    def heap(self) -> tuple[int, int]:
        """Return start_brk and brk."""
        fields = (self._directory / "stat").read_text().rpartition(")")[2].split()
        return int(fields[47 - 3]), self.call("brk", 0)

    def _find_syscall(self) -> int:
        """Return the byte address of a syscall instruction of the vdso."""
        line = re.search(rb"^(\w+)-(\w+) .*\[vdso\]$", self.maps(), re.MULTILINE)
        assert line is not None
        start, end = (int(text, 16) for text in line.groups())
        with (self._directory / "mem").open("rb", buffering=0) as memory:
            memory.seek(start)
            return start + memory.read(end - start).index(b"\x0f\x05")


def is_waiting(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_bytes().startswith(WAITS_FOR_INPUT)


@contextmanager
def stopped(command: list[str]) -> Iterator[Stopped]:
    if reason := why_not():
        pytest.skip(reason)
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:

        def waits_for_input() -> bool:
            if child.poll() is not None:
                pytest.skip(f"{' '.join(command)} is refused here")
            return is_waiting(child.pid)

        try:
            wait_until(waits_for_input)
            yield Stopped(child.pid)
        except PermissionError as error:
            pytest.skip(f"processes cannot be traced here: {error}")
    finally:
        child.kill()
        child.communicate()


@pytest.fixture(params=list(PROGRAMS.values()), ids=list(PROGRAMS))
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Process, Stopped]]:
    """A real process, and the engine's that starts from its maps."""
    with stopped(request.param) as kernel:
        text, topdown = kernel.maps(), "L" not in "".join(request.param[1:2])
        engine = Process.from_maps(text, topdown=topdown, heap=kernel.heap(), limits=kernel.limits)
        assert text_of(engine) == text
        yield engine, kernel


def test_new_mappings_go_to_the_same_places(pair: tuple[Process, Stopped]) -> None:
    engine, kernel = pair
    random = Random(1)
    mapped: list[tuple[int, int]] = []
    for _ in range(150):
        if mapped and random.random() < 0.3:
            where = mapped.pop(random.randrange(len(mapped)))
            engine.munmap(*where)
            assert kernel.call("munmap", *where) == 0
            continue
        length = random.choice((P, P, 2 * P, 7 * P, 100 * P, PMD_SIZE, 3 * PMD_SIZE, 1 << 30))
        hint = random.choice((0, 0, 0, *(start + P for start, _ in mapped[-2:])))
        addr = kernel.call("mmap", hint, length, ODD, ANONYMOUS, -1, 0)
        assert engine.mmap(hint, length, ODD, ANONYMOUS) == addr
        mapped.append((addr, length))
    assert text_of(engine) == kernel.maps()


def test_among_sockets_and_rings_new_mappings_go_to_the_same_places(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with Victim(tmp_path) as victim:
        wait_until(lambda: is_waiting(victim.pid))
        try:
            kernel = Stopped(victim.pid)
        except PermissionError as error:
            pytest.skip(f"processes cannot be traced here: {error}")
        engine = Process.from_maps(kernel.maps(), heap=kernel.heap(), limits=kernel.limits)
        assert text_of(engine) == kernel.maps()
        mapped = [vma for _, _, vma in engine.mm.mm_mt if has_driver(vma)]
        if not mapped:
            pytest.skip(f"no socket or ring can be mapped here: {victim.missing}")
        for start, length in [(vma.vm_start, vma.vm_end - vma.vm_start) for vma in mapped]:
            with pytest.raises(NotModelledError):
                engine.mprotect(start, P, PROT_WRITE)
            for hint, size in ((0, P), (start, length), (start + length, 3 * P)):
                addr = kernel.call("mmap", hint, size, ODD, ANONYMOUS, -1, 0)
                assert engine.mmap(hint, size, ODD, ANONYMOUS) == addr
            engine.munmap(start, length)
            assert kernel.call("munmap", start, length) == 0
            assert text_of(engine) == kernel.maps()
        assert text_of(engine.fork()) == kernel.maps()


def test_the_heap_and_the_holes_are_the_same(pair: tuple[Process, Stopped]) -> None:
    engine, kernel = pair
    brk = engine.mm.brk
    for end in (brk, brk + 1, brk + 5 * P, brk + (1 << 20), brk + 3 * P, brk + (1 << 45), brk):
        assert engine.brk(end) == kernel.call("brk", end)
        assert text_of(engine) == kernel.maps()
    for line in kernel.maps().splitlines():
        start, end = (int(text, 16) for text in line.split()[0].split(b"-"))
        for addr in (start - P, end):
            if not 1 << 16 <= addr < 1 << 47:
                continue
            request = addr, P, ODD, ANONYMOUS | MAP_FIXED_NOREPLACE
            kernel_says = kernel.call("mmap", *request, -1, 0)
            assert answer(engine.mmap, *request) == max(-kernel_says, 0)
    assert text_of(engine) == kernel.maps()
