"""All that differs between the releases that are modelled, by the name that the code calls it.

A constant each, in the order of the releases; `all_changes()` is the table in docs/releases.md.
"""

from untorn.releases.release import Change, Release

LOCKONFAULT_SHOWN = Change(
    Release(6, 2),
    "VmFlags in smaps has lf for memory that is locked on fault; ?? before",
    "fs/proc/task_mmu.c:show_smap_vma_flags()",
)
SHMEM_NAMED = Change(
    Release(6, 2),
    "PR_SET_VMA_ANON_NAME names shared anonymous memory, too; EBADF before",
    "mm/madvise.c:madvise_vma_anon_name()",
)
MFD_EXEC = Change(
    Release(6, 3),
    "memfd_create(2) has the flags MFD_EXEC and MFD_NOEXEC_SEAL; EINVAL before",
    "mm/memfd.c",
)
RSEQ_AUXILIARY = Change(
    Release(6, 3),
    "the auxiliary vector of a program has two entries about rseq(2), so its stack starts lower; "
    "without them before",
    "fs/binfmt_elf.c:create_elf_tables()",
)
CLOSE_MERGES = Change(
    Release(6, 4),
    "a VMA with a close operation may grow by a merge that does not make it go; it never merged "
    "before",
    "mm/vma.c:can_merge_remove_vma()",
)
FAULTS_PER_VMA = Change(
    Release(6, 4),
    "a page fault tries the lock of its VMA first; it took mmap_lock before",
    "arch/x86/mm/fault.c:do_user_addr_fault()",
)
ABOVE4G = Change(
    Release(6, 6),
    "MAP_ABOVE4G is known; it was ignored before, and EOPNOTSUPP for MAP_SHARED_VALIDATE",
    "arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area_topdown()",
)
HEAP_OVERLAPS = Change(
    Release(6, 6),
    "maps calls [heap] what overlaps the heap; also what only touches it before",
    "fs/proc/task_mmu.c:get_vma_name()",
)
STACK_NOT_HUGE = Change(
    Release(6, 7),
    "MAP_STACK keeps huge pages away (VM_NOHUGEPAGE); it did nothing before",
    "include/linux/mman.h:calc_vm_flag_bits()",
)
ANON_HUGE_ALIGNED = Change(
    Release(6, 7),
    "private anonymous memory that can hold a huge page is placed so that it does; anywhere before",
    "mm/mmap.c:__get_unmapped_area()",
)
UNTOUCHED_UNACCOUNTED = Change(
    Release(6, 7),
    "mprotect takes VM_ACCOUNT from memory that nobody wrote to and nobody may write to any "
    "longer; it stayed before",
    "mm/mprotect.c:mprotect_fixup()",
)
SMAPS_KSM = Change(
    Release(6, 7),
    "smaps and smaps_rollup have the line KSM; no such line before",
    "fs/proc/task_mmu.c:__show_smap()",
)
PAGEMAP_SCAN_IOCTL = Change(
    Release(6, 7),
    "the ioctl PAGEMAP_SCAN on pagemap is there; ENOTTY before",
    "fs/proc/task_mmu.c:do_pagemap_cmd()",
)
THP_ELIGIBLE_WIDE = Change(
    Release(6, 8),
    "the number of THPeligible in smaps is padded to eight characters; it took one before",
    "fs/proc/task_mmu.c:show_smap()",
)
ALIGNED_AT_TOP = Change(
    Release(6, 8),
    "where a huge page is to be aligned and the room is aligned already, the top end of it is "
    "taken; the bottom before",
    "mm/huge_memory.c:__thp_get_unmapped_area()",
)
HUGE_RESERVATION_RESTORED = Change(
    Release(6, 9),
    "a huge page that a private mapping lets go of is reserved for it again; it was not before",
    "mm/hugetlb.c:__unmap_hugepage_range()",
)
POPULATE_ENDS_AT_GAP = Change(
    Release(6, 9),
    "MADV_POPULATE_READ and MADV_POPULATE_WRITE end at a gap; they went on after it before",
    "mm/madvise.c:madvise_populate()",
)
WEIGHTED_INTERLEAVE = Change(
    Release(6, 9),
    "MPOL_WEIGHTED_INTERLEAVE is there; EINVAL before",
    "mm/mempolicy.c:sanitize_mpol_flags()",
)
BALANCED_MANY = Change(
    Release(6, 10),
    "MPOL_F_NUMA_BALANCING goes with MPOL_PREFERRED_MANY, too; only with MPOL_BIND before",
    "mm/mempolicy.c:sanitize_mpol_flags()",
)
MSEAL = Change(
    Release(6, 10),
    "mseal(2) is there; ENOSYS before",
    "mm/mseal.c",
)
FLAGS_OF_TAILS = Change(
    Release(6, 10),
    "kpageflags tells of each frame of a compound page what holds for all of it; dirty and "
    "swap-backed only of the first before",
    "fs/proc/page.c:stable_page_flags()",
)
PROCMAP_QUERY_IOCTL = Change(
    Release(6, 11),
    "the ioctl PROCMAP_QUERY on maps is there; ENOTTY before",
    "fs/proc/task_mmu.c:procfs_procmap_ioctl()",
)
DROPPABLE = Change(
    Release(6, 11),
    "MAP_DROPPABLE is there; EINVAL before",
    "mm/mmap.c:do_mmap()",
)
MMAP_REPLACES = Change(
    Release(6, 12),
    "mmap puts the new mapping in the place of old ones by one store, and puts the old ones back "
    "if it fails; it unmapped them first before, and readers could meet the gap",
    "mm/vma.c:__mmap_region()",
)
SEALS_ONE_BY_ONE = Change(
    Release(6, 12),
    "a call meets a seal when it comes to the VMA: it has done what comes before, or split for it; "
    "before, all of the range was asked first, and nothing was done",
    "mm/vma.h:can_modify_vma()",
)
ANON_WHOLE_ALIGNED = Change(
    Release(6, 12),
    "of private anonymous memory only whole huge pages are placed on their border; all that can "
    "hold one before",
    "mm/mmap.c:__get_unmapped_area()",
)
COPY_PASSES_SOURCE = Change(
    Release(6, 12),
    "what MREMAP_DONTUNMAP copies right beside its source may still merge on the other side, where "
    "it is kept from merging with the source; nowhere before",
    "mm/vma.c:copy_vma()",
)
VVAR_VCLOCK = Change(
    Release(6, 13),
    "clocks of hypervisors have a mapping of their own, [vvar_vclock]; part of [vvar] before",
    "arch/x86/entry/vdso/vma.c:map_vdso()",
)
GUARD_REGIONS = Change(
    Release(6, 13),
    "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE are there; EINVAL before",
    "mm/madvise.c:madvise_behavior_valid()",
)
HUGE_PLACED_AS_OTHERS = Change(
    Release(6, 13),
    "a hint for huge pages is rounded up, and MAP_32BIT and MAP_ABOVE4G count; it was rounded down "
    "before, and they did not",
    "fs/hugetlbfs/inode.c:hugetlb_get_unmapped_area()",
)
ANON_HINT_UNALIGNED = Change(
    Release(6, 13),
    "anonymous memory with a hint goes anywhere if it cannot go there; before, it was placed for "
    "huge pages, also where the hint had no room for one more",
    "mm/mmap.c:__get_unmapped_area()",
    carried_back=(Release(6, 12, 117),),
)
GUARDS_IN_PAGEMAP = Change(
    Release(6, 15),
    "pagemap has PM_GUARD_REGION for guards; they look like memory in swap before",
    "fs/proc/task_mmu.c:pte_to_pagemap_entry()",
)
DONTUNMAP_COUNTS_TWICE = Change(
    Release(6, 15),
    "MREMAP_DONTUNMAP adds the pages of the copy of a locked VMA to locked_vm, as if those of the "
    "source were taken from it; it added nothing before",
    "mm/mremap.c:vrm_stat_account()",
)
MREMAP_ALIGNED_FIRST = Change(
    Release(6, 15),
    "mremap asks whether a new place is aligned before it looks for the mapping; after that before,"
    " when EFAULT or EPERM came first",
    "mm/mremap.c:check_mremap_params()",
)
DONTUNMAP_UNCHARGES = Change(
    Release(6, 15),
    "MREMAP_DONTUNMAP takes VM_ACCOUNT from all of the source, which merges with no neighbour that "
    "has it then; the source kept it before",
    "mm/mremap.c:dontunmap_complete()",
)
GUARDS_OF_FILES = Change(
    Release(6, 15),
    "guards may stand in mappings of files and in what can never be written; EINVAL before",
    "mm/madvise.c:is_valid_guard_vma()",
)
SCAN_GUARDS = Change(
    Release(6, 16),
    "PAGEMAP_SCAN knows PAGE_IS_GUARD; EINVAL before",
    "fs/proc/task_mmu.c:pagemap_page_category()",
)
ANON_VMA_TAKEN_OVER = Change(
    Release(6, 16),
    "a range that owns pages may merge into a neighbour that owns none; only the other way round "
    "before",
    "mm/vma.c:is_mergeable_anon_vma()",
)
DEV_ZERO_HUGE_ALIGNED = Change(
    Release(6, 16),
    "a private mapping of /dev/zero that can hold a huge page is placed so that it does; anywhere "
    "before",
    "drivers/char/mem.c:get_unmapped_area_zero()",
)
MREMAP_OF_SEVERAL = Change(
    Release(6, 17),
    "mremap moves several VMAs at once if it keeps their size; EFAULT before",
    "mm/mremap.c:remap_move()",
)
MREMAP_CHECKS_FIRST = Change(
    Release(6, 17),
    "mremap checks all arguments before the lock is taken, and the mapping before it unmaps what "
    "is in the way; before, the new place after the mapping, and the size last",
    "mm/mremap.c:check_mremap_params()",
)
SEAL_COVERS_DEV_ZERO = Change(
    Release(6, 17),
    "private /dev/zero, sealed and read-only, cannot be discarded by madvise; as a file's before",
    "mm/madvise.c:can_madvise_modify()",
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
DONTUNMAP_STAYS_CHARGED = Change(
    Release(6, 18),
    "the source of MREMAP_DONTUNMAP keeps VM_ACCOUNT, as before 6.15; it lost it before",
    "mm/mremap.c:dontunmap_complete()",
    carried_back=(Release(6, 17, 13),),
)
QUERY_PER_VMA = Change(
    Release(6, 18),
    "PROCMAP_QUERY takes one VMA's lock; mmap_lock before",
    "fs/proc/task_mmu.c:query_matching_vma()",
)
GUARD_FLAG = Change(
    Release(6, 19),
    "a VMA with guards has VM_MAYBE_GUARD, for which fork copies its page table; an anon_vma was"
    " made for that before, also for a file's",
    "mm/madvise.c:madvise_guard_install()",
    carried_back=(Release(6, 18, 44),),
)
GUARDS_PER_VMA = Change(
    Release(6, 19),
    "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE within one VMA take that VMA's lock, but for a first"
    " anon_vma; mmap_lock before",
    "mm/madvise.c:is_vma_lock_sufficient()",
)
COPY_BRINGS_ANON_VMA = Change(
    Release(6, 19),
    "an unwritten VMA that written memory is moved to takes over its anon_vma, and in a fork child "
    "they do not merge; it had none afterwards, from 6.16 on, and they merged",
    "mm/vma.c:dup_anon_vma()",
    carried_back=(Release(6, 18, 15),),
)
FORK_WAITS_KILLABLE = Change(
    Release(6, 19),
    "a kill ends fork's wait for the readers of a VMA; it was looked for after the wait before",
    "mm/mmap.c:dup_mmap()",
)
DOFORK_OF_SPECIAL = Change(
    Release(7, 0),
    "MADV_DOFORK is EINVAL for any special mapping; only for one of a device (VM_IO) before",
    "mm/madvise.c:madvise_vma_behavior()",
)
VVAR_HAS_PAGES = Change(
    Release(7, 1),
    "[vvar] is a mixed map of pages, which madvise may discard; a bare one of frames before",
    "lib/vdso/datastore.c:vdso_install_vvar_mapping()",
)
MREMAP_MAP_COUNT = Change(
    Release(7, 1),
    "mremap of any kind needs room for four VMAs below max_map_count, two of them for the move;"
    " before, only one that names a place did, for six, and any move for four",
    "mm/mremap.c:__check_map_count_against_split()",
)
DROPPABLE_UNLOCKED = Change(
    Release(7, 1),
    "MCL_FUTURE does not lock new MAP_DROPPABLE memory; it did before, and nothing unlocked it",
    "mm/vma.c:__mmap_complete()",
    carried_back=(Release(6, 12, 117), Release(6, 18, 44)),
)
COLLAPSE_OF_NONE = Change(
    Release(7, 2),
    "MADV_COLLAPSE of a range between two borders of huge pages does nothing; EINVAL before",
    "mm/khugepaged.c:madvise_collapse()",
)
SMAPS_PER_VMA = Change(
    Release(7, 2),
    "smaps and numa_maps are read under one VMA's lock at a time; under mmap_lock before",
    "fs/proc/task_mmu.c:m_start()",
)
DONTUNMAP_CUTS = Change(
    Release(7, 3),
    "MREMAP_DONTUNMAP cuts what it moves out of a locked VMA, and only that is unlocked; all of "
    "the VMA was before, and its pages stayed in locked_vm",
    "mm/mremap.c:prep_move_vma()",
    carried_back=(Release(6, 1, 192), Release(6, 12, 117), Release(7, 2, 13)),
)
DONTUNMAP_LEAVES_NEW = Change(
    Release(7, 3),
    "what MREMAP_DONTUNMAP leaves behind is as if mapped anew, and never merges with its own copy; "
    "it kept its page offset before",
    "mm/mremap.c:dontunmap_complete()",
    carried_back=(Release(6, 1, 192), Release(6, 12, 117), Release(7, 2, 13)),
)
ANON_PGOFF = Change(
    Release(7, 3),
    "private mappings of a file merge only if their own pages are numbered on, too, which a move of"
    " written memory undoes; by the offset in the file alone before",
    "mm/vma.c:needs_adjacent_anon_pgoff()",
)
ZERO_SHARED_READ_ONLY = Change(
    Release(7, 3),
    "MAP_SHARED of a /dev/zero that is open only for reading is shared memory, with a file of its"
    " own; memory of the process alone before",
    "drivers/char/mem.c:mmap_zero_prepare()",
)
VVAR_NOT_IO = Change(
    Release(7, 3),
    "[vvar] is not memory of a device (VM_IO, io in smaps) any longer",
    "lib/vdso/datastore.c:vdso_install_vvar_mapping()",
)
SCAN_ACCESSED = Change(
    Release(7, 3),
    "PAGEMAP_SCAN knows PAGE_IS_ACCESSED, and has PAGE_IS_WRITTEN only of what userfaultfd"
    " protects; EINVAL before, and of all pages that are present or swapped",
    "fs/proc/task_mmu.c:pagemap_page_category()",
)


def all_changes() -> list[tuple[str, Change]]:
    """Return each change with its name, the oldest first."""
    named = [(name, value) for name, value in globals().items() if isinstance(value, Change)]
    return sorted(named, key=lambda each: each[1].since)
