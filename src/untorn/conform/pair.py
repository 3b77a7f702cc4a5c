"""An engine process and a real one that start alike, and are held to stay alike."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from untorn.conform.operations import LIMITS, Operation, on_engine, on_kernel
from untorn.fs.proc.from_maps import mm_from_maps
from untorn.live.machine import limits_of
from untorn.live.minimal_child import FIRST_FD, MinimalChild
from untorn.live.open_file import vm_file_of
from untorn.mm.mman import MAP_ANONYMOUS, MAP_SHARED, MAP_TYPE
from untorn.mm.mmap_layout import pick_mmap_base
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.mm.page import PAGE_SIZE
from untorn.syscalls import Process

FILE_PAGES = 16
"""Pages of each file that scripts map."""
_CHUNK = 1 << 16
_BRK = 12


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where engine and kernel part.

    Attributes:
        number: Of the operation in its script, from 0.
        operation: After which they differ.
        engine, kernel: What each of them returned, an errno negated.
        engine_maps, kernel_maps: The text of maps afterwards.
    """

    number: int
    operation: Operation
    engine: int
    kernel: int
    engine_maps: bytes
    kernel_maps: bytes


class Pair:
    """Both processes, with the same files open.

    Attributes:
        engine: The engine process; replaced by renew().
        child: The real one.
        fds: The child's descriptors of files that may be mapped; the engine's too.
        text, result: Maps of both and what both returned, after the last operation that agreed.

    A context manager: leaving it ends the child and removes the files.
    """

    engine: Process
    text: bytes
    result: int

    def __init__(self) -> None:
        """Start both.

        Raises:
            OutOfReach: No such child can be had on this machine.
        """
        with ExitStack() as stack:
            files = _open_files(stack)
            mappable = files[2:]  # the first two are ZEROS_FD and SINK_FD
            self.fds = [FIRST_FD + 2 + number for number in range(len(mappable))]
            self._files = [vm_file_of(fd) for fd in mappable]
            self.child = stack.enter_context(MinimalChild(tuple(files)))
            self._limits = limits_of(self.child)
            self.hard_limits = tuple(self.child.hard_limit(name) for name in LIMITS)
            self._closing = stack.pop_all()

    def renew(self) -> None:
        """Give both a new address space, and the limits and capabilities of the start."""
        self.child.renew()
        self.text = self.child.maps()
        brk = self.child.call(_BRK, 0)
        start_stack, data_size = self.child.layout()
        mm = mm_from_maps(
            self.text,
            name="conform",
            mmap_base=pick_mmap_base(self._limits),
            heap=(brk, brk),
            start_stack=start_stack,
            data_size=data_size,
            limits=self._limits,
        )
        self.engine = Process(mm)
        self.engine.files = dict(zip(self.fds, self._files, strict=True))
        self._maps = self.engine.open_maps()
        self._inodes: set[int] = set()
        self._number = 0

    def step(self, operation: Operation) -> Mismatch | None:
        """Do one operation on both, and compare results and maps."""
        engine = on_engine(self.engine, operation)
        kernel = on_kernel(self.child, operation)
        text = self.child.maps()
        if engine == kernel and engine >= 0 and _is_new_shared_memory(operation):
            self._learn_inode(engine, text)
        own = self._engine_maps()
        self._number += 1
        if engine == kernel and own == text:
            self.text, self.result = text, kernel
            return None
        return Mismatch(self._number - 1, operation, engine, kernel, own, text)

    def check(self) -> None:
        """Check the engine against itself.

        Raises:
            InvariantError: as MmStruct.check_invariants().
        """
        mm = self.engine.mm
        mmap_read_lock(mm)
        try:
            mm.check_invariants()
        finally:
            mmap_read_unlock(mm)

    def _engine_maps(self) -> bytes:
        self._maps.seek(0)
        return b"".join(iter(lambda: self._maps.read(_CHUNK), b""))

    def _learn_inode(self, addr: int, text: bytes) -> None:
        """Give the engine's new shared memory the inode number that the kernel picked.

        Only one that no other memory has: which lines share an inode is not for it to pick.
        """
        vma = self.engine.mm.mm_mt.find(addr)
        at = (b"\n" + text).find(b"\n%08x-" % addr)
        if at < 0 or vma is None or vma.vm_file is None:
            return
        inode = int(text[at : text.index(b"\n", at)].split()[4])
        if inode not in self._inodes:
            self._inodes.add(inode)
            vma.vm_file.inode = inode

    def close(self) -> None:
        """End the child and remove the files."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_new_shared_memory(operation: Operation) -> bool:
    return operation.name == "mmap" and (
        operation.arguments[3] & (MAP_ANONYMOUS | MAP_TYPE) == MAP_ANONYMOUS | MAP_SHARED
    )


def _open_files(stack: ExitStack) -> list[int]:
    """Open what the child gets: zeros, a sink, and files to map.

    Two opens of one inode, one of it that cannot write, another file, and one in memory.
    """
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="untorn-conform-")))
    one, other = directory / "one", directory / "other file"
    for path in one, other:
        path.write_bytes(bytes(FILE_PAGES * PAGE_SIZE))
    memory = os.memfd_create("in memory")
    os.truncate(memory, FILE_PAGES * PAGE_SIZE)
    fds = [os.open("/dev/zero", os.O_RDONLY), os.memfd_create("sink")]
    opens = (one, os.O_RDWR), (one, os.O_RDWR), (one, os.O_RDONLY), (other, os.O_RDWR)
    fds += [os.open(*each) for each in opens]
    fds.append(memory)
    for fd in fds:
        stack.callback(os.close, fd)
    return fds
