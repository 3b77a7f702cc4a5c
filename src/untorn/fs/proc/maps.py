"""/proc/PID/maps of an engine process: the only file with an ioctl, PROCMAP_QUERY."""

import errno

from untorn.errors import os_error
from untorn.fs.proc.do_procmap_query import do_procmap_query
from untorn.fs.proc.maps_locking import MapsLocking
from untorn.fs.proc.maps_locking.mmap_lock import MmapLocking
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.fs.user_memory import FlatMemory, UserMemory
from untorn.maps.procmap_query import (
    PROCMAP_QUERY,
    SIZE,
    ProcmapQuery,
    QueriedVma,
)
from untorn.releases.changes import MAPS_PER_VMA, PROCMAP_QUERY_IOCTL, QUERY_PER_VMA
from untorn.releases.release import Release


class ProcMapsFile(ProcVmaFile):
    """An open maps file. Compare fs/proc/task_mmu.c:proc_pid_maps_operations."""

    __slots__ = ()

    def ioctl(self, request: int, memory: UserMemory, arg: int) -> None:
        """Answer an ioctl with the caller's memory. For errors see do_procmap_query().

        Raises:
            OSError: ENOTTY for any request but PROCMAP_QUERY, and before Linux 6.11 for any.
        """
        has_query = self._mm is None or self._mm.release.has(PROCMAP_QUERY_IOCTL)
        if request != PROCMAP_QUERY or not has_query:
            raise os_error(errno.ENOTTY)
        do_procmap_query(self._mm, self._new_locking(), memory, arg)

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        """Answer a PROCMAP_QUERY, in memory allocated for it; see MapsFile."""
        name_size, build_id_size = question.vma_name_size, question.build_id_size
        memory = FlatMemory(SIZE + name_size + build_id_size)
        name_addr = memory.base + SIZE
        query = question._replace(
            vma_name_addr=name_addr if name_size else 0,
            build_id_addr=name_addr + name_size if build_id_size else 0,
        )
        memory.copy_to_user(memory.base, query.pack())
        self.ioctl(PROCMAP_QUERY, memory, memory.base)
        answer = ProcmapQuery.unpack(memory.copy_from_user(memory.base, SIZE))
        name = bytes(memory.data[SIZE : SIZE + name_size])
        return QueriedVma.from_struct(answer, name, bytes(memory.data[SIZE + name_size :]))

    def _new_locking(self) -> MapsLocking | None:
        """Return a locking context that no read and no other query uses.

        It is of the file's kind, except that Linux 6.17 reads with VMA locks, but answers queries
        under mmap_lock.
        """
        if self._mm is None or self._locking is None:
            return None
        kind = type(self._locking)
        if kind is VmaLocking and _only_reads_per_vma(self._mm.release):
            return MmapLocking(self._mm)
        return kind(self._mm)


def _only_reads_per_vma(release: Release) -> bool:
    return release.has(MAPS_PER_VMA) and not release.has(QUERY_PER_VMA)
