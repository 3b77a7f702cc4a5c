"""All that differs between the releases that are modelled, by the name that the code calls it.

A constant each, in the order of the releases; `all_changes()` is the table in docs/releases.md.
"""

from untorn.releases.release import Change, Release

MFD_EXEC = Change(
    Release(6, 3),
    "memfd_create(2) has the flags MFD_EXEC and MFD_NOEXEC_SEAL; EINVAL before",
    "mm/memfd.c",
)
MSEAL = Change(
    Release(6, 10),
    "mseal(2) is there; ENOSYS before",
    "mm/mseal.c",
)
PROCMAP_QUERY_IOCTL = Change(
    Release(6, 11),
    "the ioctl PROCMAP_QUERY on maps is there; ENOTTY before",
    "fs/proc/task_mmu.c:procfs_procmap_ioctl()",
)
MAPS_PER_VMA = Change(
    Release(6, 17),
    "maps is read under one VMA's lock at a time; under mmap_lock before",
    "fs/proc/task_mmu.c:get_next_vma()",
)
ADVICE_PER_VMA = Change(
    Release(6, 17),
    "MADV_DONTNEED, MADV_DONTNEED_LOCKED and MADV_FREE within one VMA take that VMA's lock;"
    " mmap_lock before",
    "mm/madvise.c:get_lock_mode()",
)
QUERY_PER_VMA = Change(
    Release(6, 18),
    "PROCMAP_QUERY takes one VMA's lock; mmap_lock before",
    "fs/proc/task_mmu.c:query_matching_vma()",
)
GUARDS_PER_VMA = Change(
    Release(6, 19),
    "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE within one VMA take that VMA's lock, but for a first"
    " anon_vma; mmap_lock before",
    "mm/madvise.c:is_vma_lock_sufficient()",
)
SMAPS_PER_VMA = Change(
    Release(7, 2),
    "smaps and numa_maps are read under one VMA's lock at a time; under mmap_lock before",
    "fs/proc/task_mmu.c:m_start()",
)


def all_changes() -> list[tuple[str, Change]]:
    """Return each change with its name, the oldest first."""
    named = [(name, value) for name, value in globals().items() if isinstance(value, Change)]
    return sorted(named, key=lambda each: each[1].since)
