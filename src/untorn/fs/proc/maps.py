"""/proc/PID/maps of an engine process: open it, read it, ask it."""

import errno
from typing import Self

from untorn.errors import os_error
from untorn.fs.maps_file import NO_FLAGS, PATH_MAX
from untorn.fs.proc.base import ProcTask
from untorn.fs.proc.do_procmap_query import do_procmap_query
from untorn.fs.proc.maps_locking import STRATEGIES, MapsLocking
from untorn.fs.proc.procmap_query import (
    PROCMAP_QUERY,
    SIZE,
    ProcmapQuery,
    QueriedVma,
    QueryFlags,
)
from untorn.fs.proc.task_mmu import ProcMaps, Record
from untorn.fs.seq_file import SEEK_SET, SeqFile
from untorn.fs.user_memory import FlatMemory, UserMemory
from untorn.mm.exit import mmput
from untorn.mm.mm_struct import MmStruct, mmdrop, mmget_not_zero, mmgrab
from untorn.mm.page import ULONG_MAX


class ProcMapsFile:
    """An open maps file; a MapsFile. Several tasks may use it at once.

    It stays with the mm that the process had when it was opened: after an exec or exit of the
    process it reads as empty. Compare fs/proc/task_mmu.c:proc_pid_maps_operations.
    """

    __slots__ = ("_locking", "_mm", "_seq", "_strategy")

    def __init__(self, task: ProcTask, reader: str) -> None:
        """Open the file.

        Args:
            task: Whose maps.
            reader: The strategy: mmap_lock, vma_lock or rcu.

        Raises:
            OSError: ENOENT if the process was reaped, EACCES if the opener may not look into it.
            KeyError: there is no such strategy.
        """
        if task.reaped:
            raise os_error(errno.ENOENT)
        if not task.ptrace_allowed:
            raise os_error(errno.EACCES)
        self._strategy = STRATEGIES[reader]
        self._mm = _mm_access(task)
        self._locking = self._new_locking(self._mm)
        self._seq: SeqFile[Record] = SeqFile(ProcMaps(task, self._mm, self._locking))

    def read(self, size: int) -> bytes:
        """Return the next bytes; see MapsFile."""
        return self._seq.read(size)

    def pread(self, size: int, offset: int) -> bytes:
        """Return bytes from offset on, without moving; see SeqFile.pread()."""
        return self._seq.pread(size, offset)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the file position; see MapsFile."""
        return self._seq.seek(offset, whence)

    def ioctl(self, request: int, memory: UserMemory, arg: int) -> None:
        """Answer an ioctl with the caller's memory; for errors see do_procmap_query().

        Raises:
            OSError: ENOTTY for any request but PROCMAP_QUERY.
        """
        if request != PROCMAP_QUERY:
            raise os_error(errno.ENOTTY)
        do_procmap_query(self._mm, self._new_locking(self._mm), memory, arg)

    def query(
        self,
        addr: int,
        flags: QueryFlags = NO_FLAGS,
        *,
        name_size: int = PATH_MAX,
        build_id_size: int = 0,
    ) -> QueriedVma:
        """Describe the VMA at addr; see MapsFile."""
        memory = FlatMemory(SIZE + name_size + build_id_size)
        name_addr = memory.base + SIZE
        query = ProcmapQuery(
            query_flags=flags,
            query_addr=addr & ULONG_MAX,
            vma_name_size=name_size,
            vma_name_addr=name_addr if name_size else 0,
            build_id_size=build_id_size,
            build_id_addr=name_addr + name_size if build_id_size else 0,
        )
        memory.copy_to_user(memory.base, query.pack())
        self.ioctl(PROCMAP_QUERY, memory, memory.base)
        answer = ProcmapQuery.unpack(memory.copy_from_user(memory.base, SIZE))
        name = bytes(memory.data[SIZE : SIZE + name_size])
        return QueriedVma.from_struct(answer, name, bytes(memory.data[SIZE + name_size :]))

    def statistics(self) -> dict[str, int]:
        """Return how often the reads of this file met a writer, by kind."""
        return self._locking.statistics() if self._locking else {}

    def close(self) -> None:
        """Let go of the mm; the file must not be used afterwards."""
        mm, self._mm = self._mm, None
        if mm is not None:
            mmdrop(mm)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _new_locking(self, mm: MmStruct | None) -> MapsLocking | None:
        return None if mm is None else self._strategy(mm)


def _mm_access(task: ProcTask) -> MmStruct | None:
    """Return the task's mm with its structure kept alive, or None if it has no users left.

    Compare fs/proc/base.c:proc_mem_open().
    """
    mm = task.mm
    if mm is None or not mmget_not_zero(mm):
        return None
    mmgrab(mm)
    mmput(mm)
    return mm
