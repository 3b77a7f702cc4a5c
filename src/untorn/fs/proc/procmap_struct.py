"""struct procmap_query in the memory of whoever makes the ioctl, whoever answers it.

Compare fs/proc/task_mmu.c:do_procmap_query(), lib/usercopy.c:copy_struct_from_user().
"""

import errno

from untorn.errors import os_error
from untorn.fs.user_memory import UserMemory
from untorn.maps.page import PAGE_SIZE
from untorn.maps.procmap_query import MIN_SIZE, PATH_MAX, SIZE, VALID_FLAGS, ProcmapQuery


def get_query(memory: UserMemory, arg: int) -> ProcmapQuery:
    """Return what is asked.

    Args:
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: EFAULT if it is not readable; E2BIG if it is larger than a page, or not zero after
            what is known; EINVAL if it is too small, has an unknown flag, or has a buffer without
            its size, or a size without its buffer.
    """
    query = _copy_struct_from_user(memory, arg)
    if query.query_flags & ~VALID_FLAGS:
        raise os_error(errno.EINVAL)
    if bool(query.vma_name_size) != bool(query.vma_name_addr):
        raise os_error(errno.EINVAL)
    if bool(query.build_id_size) != bool(query.build_id_addr):
        raise os_error(errno.EINVAL)
    return query


def _copy_struct_from_user(memory: UserMemory, arg: int) -> ProcmapQuery:
    size = int.from_bytes(memory.copy_from_user(arg, 8), "little")
    if size > PAGE_SIZE:
        raise os_error(errno.E2BIG)
    if size < MIN_SIZE:
        raise os_error(errno.EINVAL)
    data = memory.copy_from_user(arg, size)
    if any(data[SIZE:]):
        raise os_error(errno.E2BIG)
    return ProcmapQuery.unpack(data[:SIZE].ljust(SIZE, b"\0"))


def put_answer(
    memory: UserMemory, arg: int, answer: ProcmapQuery, name: bytes, build_id: bytes
) -> None:
    """Write an answer; if it does not fit, nothing of it.

    Args:
        memory: The caller's memory.
        arg: Byte address of the struct.
        answer: What was asked, with what was found; its sizes are still those of the buffers.
        name: Of the VMA, without a NUL; empty if it has none. Not told if it was not asked for.
        build_id: Of its file, in the same way.

    Raises:
        OSError: ENAMETOOLONG if a buffer is too small; EFAULT if one, or the struct, is not
            writable: what was written before it stays.
    """
    name = name + b"\0" if name and answer.vma_name_size else b""
    build_id = build_id if answer.build_id_size else b""
    if len(name) > min(PATH_MAX, answer.vma_name_size) or len(build_id) > answer.build_id_size:
        raise os_error(errno.ENAMETOOLONG)
    if name:
        memory.copy_to_user(answer.vma_name_addr, name)
    if build_id:
        memory.copy_to_user(answer.build_id_addr, build_id)
    answer = answer._replace(vma_name_size=len(name), build_id_size=len(build_id))
    memory.copy_to_user(arg, answer.pack()[: answer.size])
