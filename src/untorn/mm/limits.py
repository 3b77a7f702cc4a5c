"""What bounds an address space: resource limits, capabilities, sysctls, how the kernel is built."""

from dataclasses import dataclass

from untorn.maps.page import PAGE_SIZE, ULONG_MAX

RLIM_INFINITY = ULONG_MAX
OVERCOMMIT_GUESS = 0
OVERCOMMIT_ALWAYS = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """One immutable set of limits; MmStruct.limits is replaced as a whole.

    Attributes:
        rlimit_as, rlimit_data, rlimit_memlock, rlimit_stack: Bytes. Source: setrlimit(2).
        rlimit_data_max: Bytes; the hard limit, which counts where rlimit_data is 0.
        cap_ipc_lock, cap_sys_rawio: Capabilities of the process. Source: capabilities(7).
        deny_write_exec: PR_MDWE_REFUSE_EXEC_GAIN is set. Source: prctl(2).
        max_map_count: VMAs. Source: /proc/sys/vm/max_map_count.
        mmap_min_addr: Byte address below which nothing is placed and no hint is taken.
            Source: the larger of the next one and CONFIG_LSM_MMAP_MIN_ADDR.
        dac_mmap_min_addr: Byte address below which a fixed mapping needs cap_sys_rawio.
            Source: /proc/sys/vm/mmap_min_addr.
        stack_guard_gap: Bytes below a VMA that grows down. Source: mm/mmap.c.
        overcommit_memory: OVERCOMMIT_GUESS or OVERCOMMIT_ALWAYS.
        anon_vma_name: Anonymous memory can be named. Source: CONFIG_ANON_VMA_NAME.
        totalram_pages: Memory and swap, in pages; one mapping of more is refused when guessing.
    """

    rlimit_as: int = RLIM_INFINITY
    rlimit_data: int = RLIM_INFINITY
    rlimit_data_max: int = RLIM_INFINITY
    rlimit_memlock: int = 8 << 20
    rlimit_stack: int = 8 << 20
    cap_ipc_lock: bool = False
    cap_sys_rawio: bool = False
    deny_write_exec: bool = False
    max_map_count: int = 65530
    mmap_min_addr: int = PAGE_SIZE
    dac_mmap_min_addr: int = PAGE_SIZE
    stack_guard_gap: int = 256 * PAGE_SIZE
    overcommit_memory: int = OVERCOMMIT_GUESS
    anon_vma_name: bool = True
    totalram_pages: int = 1 << 24
