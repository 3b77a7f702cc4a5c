"""Answer PROCMAP_QUERY for a real process in the kernel's place.

The answer is the kernel's own except for the build id, which is read from the file, and only from
regular files. Compare fs/proc/task_mmu.c:do_procmap_query().
"""

import errno

from untorn.errors import OutOfReachError, os_error
from untorn.fs.proc.procmap_struct import get_query, put_answer
from untorn.fs.user_memory import UserMemory
from untorn.maps.maps_file import MapsFile
from untorn.maps.page import KERNEL_HALF
from untorn.maps.procmap_query import PROCMAP_QUERY, ProcmapQuery, QueriedVma


def procmap_ioctl(maps: MapsFile, request: int, memory: UserMemory, arg: int) -> None:
    """Answer an ioctl of a maps file.

    Args:
        maps: The maps to query.
        request: The ioctl's number.
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: ENOTTY for any request but PROCMAP_QUERY; else as get_query(), put_answer() and
            the file's procmap_query().
    """
    if request != PROCMAP_QUERY:
        raise os_error(errno.ENOTTY)
    query = get_query(memory, arg)
    found = _ask(maps, query)
    # The kernel's ioctl finds no VMA there, whatever the text shows.
    if found.entry.start >= KERNEL_HALF:
        raise os_error(errno.ENOENT)
    put_answer(memory, arg, _answer(query, found), found.entry.name, found.build_id)


def _ask(maps: MapsFile, query: ProcmapQuery) -> QueriedVma:
    """Ask for all that is wanted; without the build id if the VMA changes while it is read."""
    question = ProcmapQuery(
        query_flags=query.query_flags,
        query_addr=query.query_addr,
        vma_name_size=query.vma_name_size,
        build_id_size=query.build_id_size,
    )
    try:
        return maps.procmap_query(question)
    except OutOfReachError:
        return maps.procmap_query(question._replace(build_id_size=0))


def _answer(query: ProcmapQuery, found: QueriedVma) -> ProcmapQuery:
    entry = found.entry
    return query._replace(
        vma_start=entry.start,
        vma_end=entry.end,
        vma_flags=entry.permissions,
        vma_page_size=found.page_size,
        vma_offset=entry.offset,
        dev_major=entry.device.major,
        dev_minor=entry.device.minor,
        inode=entry.inode,
    )
