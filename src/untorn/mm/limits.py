"""The limits of an address space, and the address where its mappings begin.

The limits are resource limits, capabilities, sysctls and kernel configuration. RLIMIT_STACK decides
mmap_base. Compare arch/x86/mm/mmap.c:arch_pick_mmap_layout().
"""

from dataclasses import dataclass

from untorn.maps.page import PAGE_SIZE, TASK_SIZE, UINT_MAX, ULONG_MAX, page_align

RLIM_INFINITY = ULONG_MAX
"""No limit."""
OVERCOMMIT_GUESS = 0
"""vm.overcommit_memory: refuse only a mapping larger than memory and swap; the default."""
OVERCOMMIT_ALWAYS = 1
"""vm.overcommit_memory: refuse nothing."""
OVERCOMMIT_NEVER = 2
"""vm.overcommit_memory: refuse what would take the committed memory beyond CommitLimit."""
SMALLEST_GAP = 128 << 20
"""The smallest distance in bytes between mmap_base and the top of the stack."""


@dataclass(frozen=True, slots=True)
class Limits:
    """An immutable set of limits. MmStruct.limits is replaced as a whole.

    Attributes:
        rlimit_as, rlimit_data, rlimit_memlock, rlimit_stack: Bytes. Source: setrlimit(2).
        rlimit_data_max: Bytes; the hard limit, which applies where rlimit_data is 0.
        cap_ipc_lock, cap_sys_nice, cap_sys_rawio, cap_sys_admin: Whether the process has the
            capability. Source: capabilities(7).
        deny_write_exec: PR_MDWE_REFUSE_EXEC_GAIN is set. Source: prctl(2).
        max_map_count: The largest number of VMAs. Source: /proc/sys/vm/max_map_count.
        mmap_min_addr: Byte address below which nothing is placed and no hint is taken.
            Source: the larger of dac_mmap_min_addr and CONFIG_LSM_MMAP_MIN_ADDR.
        dac_mmap_min_addr: Byte address below which a fixed mapping needs cap_sys_rawio.
            Source: /proc/sys/vm/mmap_min_addr.
        stack_guard_gap: Bytes kept free below a VMA that grows down. Source: mm/mmap.c.
        overcommit_memory: OVERCOMMIT_GUESS, OVERCOMMIT_ALWAYS or OVERCOMMIT_NEVER.
        commit_limit: Pages that OVERCOMMIT_NEVER commits in all. Source: CommitLimit of
            /proc/meminfo.
        admin_reserve, user_reserve: Pages of commit_limit that are kept for cap_sys_admin, and the
            most that are kept from one large process. Source: vm.admin_reserve_kbytes,
            vm.user_reserve_kbytes.
        anon_vma_name: Anonymous memory can be named. Source: CONFIG_ANON_VMA_NAME.
        mems_allowed: Bits of the NUMA nodes whose memory the process may use; 0 if the kernel is
            built without CONFIG_NUMA. Source: cpuset(7), numa(7).
        totalram_pages: Memory and swap, in pages. OVERCOMMIT_GUESS refuses a larger mapping.
    """

    rlimit_as: int = RLIM_INFINITY
    rlimit_data: int = RLIM_INFINITY
    rlimit_data_max: int = RLIM_INFINITY
    rlimit_memlock: int = 8 << 20
    rlimit_stack: int = 8 << 20
    cap_ipc_lock: bool = False
    cap_sys_nice: bool = False
    cap_sys_rawio: bool = False
    cap_sys_admin: bool = False
    deny_write_exec: bool = False
    max_map_count: int = 65530
    mmap_min_addr: int = PAGE_SIZE
    dac_mmap_min_addr: int = PAGE_SIZE
    stack_guard_gap: int = 256 * PAGE_SIZE
    overcommit_memory: int = OVERCOMMIT_GUESS
    commit_limit: int = 1 << 23
    admin_reserve: int = 1 << 11
    user_reserve: int = 1 << 15
    anon_vma_name: bool = True
    mems_allowed: int = 1
    totalram_pages: int = 1 << 24


def legacy_base(task_size: int = TASK_SIZE) -> int:
    """Return the byte address where the bottom-up search begins."""
    return page_align(min(task_size, TASK_SIZE) // 3)


def stack_top_max(task_size: int) -> int:
    """Return the byte address below which exec creates the stack.

    Exec moves the stack to its final place only later: lower in a 32-bit process, with
    randomization, and with five-level page tables. Its page numbers stay those of the place
    returned here. Compare mm/vma_exec.c:create_init_stack_vma().
    """
    return max(task_size, TASK_SIZE)


def largest_shift(task_size: int) -> int:
    """Return the most bytes by which randomization moves mmap_base.

    It moves mmap_base by up to vm.mmap_rnd_bits bits of pages, which are 32 at most (28 by
    default); in a 32-bit process by up to vm.mmap_rnd_compat_bits, which are 16 at most. If the
    distance to the stack is not the smallest, mmap_base also moves with the stack, by up to 22 bits
    (11). Source: arch/x86/Kconfig, ARCH_MMAP_RND_BITS_MAX, ARCH_MMAP_RND_COMPAT_BITS_MAX.
    """
    if task_size <= UINT_MAX:
        return (1 << 28) + (1 << 23)
    return (1 << 44) + (1 << 34)


def pick_mmap_base(limits: Limits, *, topdown: bool = True, task_size: int = TASK_SIZE) -> int:
    """Return mmap_base, a byte address, without randomization. It leaves room for the stack.

    Args:
        limits: Its RLIMIT_STACK and guard gap decide the room for the stack.
        topdown: False for the bottom-up layout of ADDR_COMPAT_LAYOUT or vm.legacy_va_layout.
        task_size: The first byte address that the process cannot use.
    """
    if not topdown:
        return legacy_base(task_size)
    window = min(task_size, TASK_SIZE)
    gap = limits.rlimit_stack
    if gap + limits.stack_guard_gap <= ULONG_MAX:
        gap += limits.stack_guard_gap
    return page_align(window - min(max(gap, SMALLEST_GAP), window // 6 * 5))
