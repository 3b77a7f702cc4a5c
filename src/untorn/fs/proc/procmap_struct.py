"""Read and write struct procmap_query in the memory of the caller of the ioctl.

Compare fs/proc/task_mmu.c:do_procmap_query(), lib/usercopy.c:copy_struct_from_user().
"""

import errno

from untorn.errors import os_error
from untorn.fs.user_memory import UserMemory
from untorn.maps.page import PAGE_SIZE
from untorn.maps.procmap_query import MIN_SIZE, PATH_MAX, SIZE, VALID_FLAGS, ProcmapQuery


def get_query(memory: UserMemory, arg: int) -> ProcmapQuery:
    """Read the question and check it.

    Args:
        memory: The caller's memory.
        arg: Byte address of the struct.

    Raises:
        OSError: EFAULT if it is not readable; E2BIG if it is larger than a page, or not zero after
            the known fields; EINVAL if it is too small, has an unknown flag, or has a buffer
            without its size or a size without its buffer.
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
    """Write an answer, or nothing if it does not fit.

    Args:
        memory: The caller's memory.
        arg: Byte address of the struct.
        answer: The question with the VMA that was found. Its sizes are still those of the buffers.
        name: The name of the VMA, without a NUL; empty if it has none. Written only if asked for.
        build_id: The build id of its file, in the same way.

    Raises:
        OSError: ENAMETOOLONG if a buffer is too small; EFAULT if a buffer or the struct is not
            writable (whatever was written before that stays).
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
