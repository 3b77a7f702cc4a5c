"""All differences between the modelled releases, one named constant each, in release order.

The table in docs/releases.md is made from `all_changes()`.
"""

from untorn.releases.release import Change, Release

LOCKONFAULT_SHOWN = Change(
    Release(6, 2),
    "VmFlags in smaps shows lf for memory that is locked on fault; before, it showed ??",
    "fs/proc/task_mmu.c:show_smap_vma_flags()",
)
SHMEM_NAMED = Change(
    Release(6, 2),
    "PR_SET_VMA_ANON_NAME also names shared anonymous memory; before, it failed with EBADF",
    "mm/madvise.c:madvise_vma_anon_name()",
)
MFD_EXEC = Change(
    Release(6, 3),
    "memfd_create(2) has the flags MFD_EXEC and MFD_NOEXEC_SEAL; before, they were EINVAL",
    "mm/memfd.c",
)
RSEQ_AUXILIARY = Change(
    Release(6, 3),
    "the auxiliary vector of a program has two entries about rseq(2), so its stack starts lower; "
    "before, it did not have them",
    "fs/binfmt_elf.c:create_elf_tables()",
)
CLOSE_MERGES = Change(
    Release(6, 4),
    "a VMA with a close operation may grow by a merge that does not remove it; before, it never "
    "merged",
    "mm/vma.c:can_merge_remove_vma()",
)
FAULTS_PER_VMA = Change(
    Release(6, 4),
    "a page fault tries the lock of its VMA first; before, it always took mmap_lock",
    "arch/x86/mm/fault.c:do_user_addr_fault()",
)
ABOVE4G = Change(
    Release(6, 6),
    "mmap knows MAP_ABOVE4G; before, it ignored the flag, and with MAP_SHARED_VALIDATE failed "
    "with EOPNOTSUPP",
    "arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area_topdown()",
)
HEAP_OVERLAPS = Change(
    Release(6, 6),
    "maps names a VMA [heap] if it overlaps the heap; before, also if it only touches the heap",
    "fs/proc/task_mmu.c:get_vma_name()",
)
STACK_NOT_HUGE = Change(
    Release(6, 7),
    "MAP_STACK sets VM_NOHUGEPAGE, which keeps huge pages away; before, it did nothing",
    "include/linux/mman.h:calc_vm_flag_bits()",
)
ANON_HUGE_ALIGNED = Change(
    Release(6, 7),
    "private anonymous memory that is large enough for a huge page is placed on a huge-page "
    "boundary; before, on any page",
    "mm/mmap.c:__get_unmapped_area()",
)
UNTOUCHED_UNACCOUNTED = Change(
    Release(6, 7),
    "mprotect clears VM_ACCOUNT on memory that becomes read-only and was never written to; "
    "before, the flag stayed",
    "mm/mprotect.c:mprotect_fixup()",
)
SMAPS_KSM = Change(
    Release(6, 7),
    "smaps and smaps_rollup have the line KSM; before, they had no such line",
    "fs/proc/task_mmu.c:__show_smap()",
)
PAGEMAP_SCAN_IOCTL = Change(
    Release(6, 7),
    "pagemap has the ioctl PAGEMAP_SCAN; before, it failed with ENOTTY",
    "fs/proc/task_mmu.c:do_pagemap_cmd()",
)
THP_ELIGIBLE_WIDE = Change(
    Release(6, 8),
    "the number of THPeligible in smaps is padded to eight characters; before, it had one",
    "fs/proc/task_mmu.c:show_smap()",
)
ALIGNED_AT_TOP = Change(
    Release(6, 8),
    "if the free range found for a mapping to be aligned for huge pages, and one huge page "
    "longer, is already aligned, the mapping goes to its top; before, to its bottom",
    "mm/huge_memory.c:__thp_get_unmapped_area()",
)
HUGE_RESERVATION_RESTORED = Change(
    Release(6, 9),
    "a huge page that a private mapping frees is reserved for the mapping again; before, it was "
    "not",
    "mm/hugetlb.c:__unmap_hugepage_range()",
)
POPULATE_ENDS_AT_HOLE = Change(
    Release(6, 9),
    "MADV_POPULATE_READ and MADV_POPULATE_WRITE stop at a hole; before, they went on after it",
    "mm/madvise.c:madvise_populate()",
)
WEIGHTED_INTERLEAVE = Change(
    Release(6, 9),
    "mbind accepts MPOL_WEIGHTED_INTERLEAVE; before, it failed with EINVAL",
    "mm/mempolicy.c:sanitize_mpol_flags()",
)
BALANCED_MANY = Change(
    Release(6, 10),
    "MPOL_F_NUMA_BALANCING is allowed with MPOL_PREFERRED_MANY and MPOL_BIND; before, only with "
    "MPOL_BIND",
    "mm/mempolicy.c:sanitize_mpol_flags()",
)
MSEAL = Change(
    Release(6, 10),
    "mseal(2) exists; before, it failed with ENOSYS",
    "mm/mseal.c",
)
FLAGS_OF_TAILS = Change(
    Release(6, 10),
    "kpageflags shows the flags of a compound page for each of its frames; before, it showed "
    "dirty and swap-backed for the first frame only",
    "fs/proc/page.c:stable_page_flags()",
)
PROCMAP_QUERY_IOCTL = Change(
    Release(6, 11),
    "maps has the ioctl PROCMAP_QUERY; before, it failed with ENOTTY",
    "fs/proc/task_mmu.c:procfs_procmap_ioctl()",
)
DROPPABLE = Change(
    Release(6, 11),
    "mmap accepts MAP_DROPPABLE; before, it failed with EINVAL",
    "mm/mmap.c:do_mmap()",
)
MMAP_REPLACES = Change(
    Release(6, 12),
    "mmap replaces old mappings by the new one in one store, and restores them if it fails; "
    "before, it unmapped them first, and readers could see the hole",
    "mm/vma.c:__mmap_region()",
)
SEALS_ONE_BY_ONE = Change(
    Release(6, 12),
    "a call finds a seal when it reaches the VMA, after it has changed or split the VMAs below; "
    "before, it checked the whole range first and changed nothing",
    "mm/vma.h:can_modify_vma()",
)
ANON_WHOLE_ALIGNED = Change(
    Release(6, 12),
    "private anonymous memory is placed on a huge-page boundary only if its length is a multiple "
    "of the huge page size; before, whenever it could hold one huge page",
    "mm/mmap.c:__get_unmapped_area()",
)
COPY_PASSES_SOURCE = Change(
    Release(6, 12),
    "a copy that MREMAP_DONTUNMAP makes right beside its source, with which it must not merge, "
    "may merge with its other neighbour; before, with neither",
    "mm/vma.c:copy_vma()",
)
VVAR_VCLOCK = Change(
    Release(6, 13),
    "the clocks of hypervisors have their own mapping, [vvar_vclock]; before, they were in [vvar]",
    "arch/x86/entry/vdso/vma.c:map_vdso()",
)
GUARD_REGIONS = Change(
    Release(6, 13),
    "madvise accepts MADV_GUARD_INSTALL and MADV_GUARD_REMOVE; before, it failed with EINVAL",
    "mm/madvise.c:madvise_behavior_valid()",
)
HUGE_PLACED_AS_OTHERS = Change(
    Release(6, 13),
    "mmap with MAP_HUGETLB rounds its hint up and respects MAP_32BIT and MAP_ABOVE4G; before, it "
    "rounded the hint down and ignored these flags",
    "fs/hugetlbfs/inode.c:hugetlb_get_unmapped_area()",
)
ANON_HINT_UNALIGNED = Change(
    Release(6, 13),
    "private anonymous memory with a hint is never aligned for huge pages; before, it was, unless "
    "the hint had room for one huge page more",
    "mm/mmap.c:__get_unmapped_area()",
    carried_back=(Release(6, 12, 117),),
)
GUARDS_IN_PAGEMAP = Change(
    Release(6, 15),
    "pagemap marks guards with PM_GUARD_REGION; before, they looked like memory in swap",
    "fs/proc/task_mmu.c:pte_to_pagemap_entry()",
)
DONTUNMAP_COUNTS_TWICE = Change(
    Release(6, 15),
    "MREMAP_DONTUNMAP of a locked VMA adds the pages of the copy to locked_vm, although those of "
    "the source are still counted there; before, it added nothing",
    "mm/mremap.c:vrm_stat_account()",
)
MREMAP_ALIGNED_FIRST = Change(
    Release(6, 15),
    "mremap checks the alignment of the new address before it looks up the mapping; before, "
    "EFAULT and EPERM for the mapping came first",
    "mm/mremap.c:check_mremap_params()",
)
DONTUNMAP_UNCHARGES = Change(
    Release(6, 15),
    "MREMAP_DONTUNMAP clears VM_ACCOUNT on the whole source, which then merges with no neighbour "
    "that has the flag; before, the source kept it",
    "mm/mremap.c:dontunmap_complete()",
)
GUARDS_OF_FILES = Change(
    Release(6, 15),
    "mappings of files and mappings that can never be written may have guards; before, "
    "MADV_GUARD_INSTALL failed with EINVAL there",
    "mm/madvise.c:is_valid_guard_vma()",
)
SCAN_GUARDS = Change(
    Release(6, 16),
    "PAGEMAP_SCAN knows PAGE_IS_GUARD; before, it failed with EINVAL",
    "fs/proc/task_mmu.c:pagemap_page_category()",
)
ANON_VMA_TAKEN_OVER = Change(
    Release(6, 16),
    "a range with an anon_vma may merge into a neighbour that has none; before, only a range "
    "without one could merge into a neighbour that has one",
    "mm/vma.c:is_mergeable_anon_vma()",
)
DEV_ZERO_HUGE_ALIGNED = Change(
    Release(6, 16),
    "a private mapping of /dev/zero that is large enough for a huge page is placed on a huge-page "
    "boundary; before, on any page",
    "drivers/char/mem.c:get_unmapped_area_zero()",
)
MREMAP_OF_SEVERAL = Change(
    Release(6, 17),
    "mremap moves several VMAs at once if it keeps their size; before, it failed with EFAULT",
    "mm/mremap.c:remap_move()",
)
MREMAP_CHECKS_FIRST = Change(
    Release(6, 17),
    "mremap checks all arguments before it takes mmap_lock, and the mapping before it unmaps what "
    "is in the way; before, it checked the new address after the mapping, and the size last",
    "mm/mremap.c:check_mremap_params()",
)
SEAL_COVERS_DEV_ZERO = Change(
    Release(6, 17),
    "madvise cannot discard a sealed, read-only, private mapping of /dev/zero; before, it could, "
    "as for any file",
    "mm/madvise.c:can_madvise_modify()",
)
MAPS_PER_VMA = Change(
    Release(6, 17),
    "maps is read under one VMA's lock at a time; before, under mmap_lock",
    "fs/proc/task_mmu.c:get_next_vma()",
)
ADVICE_PER_VMA = Change(
    Release(6, 17),
    "MADV_DONTNEED, MADV_DONTNEED_LOCKED and MADV_FREE within one VMA take that VMA's lock; "
    "before, they took mmap_lock",
    "mm/madvise.c:get_lock_mode()",
)
DONTUNMAP_STAYS_CHARGED = Change(
    Release(6, 18),
    "the source of MREMAP_DONTUNMAP keeps VM_ACCOUNT; from 6.15 to 6.17, it lost the flag",
    "mm/mremap.c:dontunmap_complete()",
    carried_back=(Release(6, 17, 13),),
)
QUERY_PER_VMA = Change(
    Release(6, 18),
    "PROCMAP_QUERY takes one VMA's lock; before, it took mmap_lock",
    "fs/proc/task_mmu.c:query_matching_vma()",
)
GUARD_FLAG = Change(
    Release(6, 19),
    "a VMA with guards has VM_MAYBE_GUARD, and fork copies the page table of such a VMA; before, "
    "it got an anon_vma for that, even if it mapped a file",
    "mm/madvise.c:madvise_guard_install()",
    carried_back=(Release(6, 18, 44),),
)
GUARDS_PER_VMA = Change(
    Release(6, 19),
    "MADV_GUARD_INSTALL and MADV_GUARD_REMOVE within one VMA take that VMA's lock, unless they "
    "must create its anon_vma; before, they took mmap_lock",
    "mm/madvise.c:is_vma_lock_sufficient()",
)
COPY_BRINGS_ANON_VMA = Change(
    Release(6, 19),
    "a VMA without an anon_vma that moved memory merges into takes over the memory's anon_vma, "
    "and in a fork child the two do not merge; from 6.16 to 6.18, they merged, and the VMA had no "
    "anon_vma afterwards",
    "mm/vma.c:dup_anon_vma()",
    carried_back=(Release(6, 18, 15),),
)
FORK_WAITS_KILLABLE = Change(
    Release(6, 19),
    "a kill ends fork's wait for the readers of a VMA; before, fork checked for it after the wait",
    "mm/mmap.c:dup_mmap()",
)
DOFORK_OF_SPECIAL = Change(
    Release(7, 0),
    "MADV_DOFORK fails with EINVAL for any special mapping; before, only for device memory (VM_IO)",
    "mm/madvise.c:madvise_vma_behavior()",
)
VVAR_HAS_PAGES = Change(
    Release(7, 1),
    "[vvar] is a VM_MIXEDMAP mapping, which madvise may discard; before, it was a VM_PFNMAP "
    "mapping",
    "lib/vdso/datastore.c:vdso_install_vvar_mapping()",
)
MREMAP_MAP_COUNT = Change(
    Release(7, 1),
    "every mremap needs room for four VMAs below max_map_count, and a move for two; before, only "
    "an mremap to a given address needed room at the start, for six, and a move for four",
    "mm/mremap.c:__check_map_count_against_split()",
)
DROPPABLE_UNLOCKED = Change(
    Release(7, 1),
    "MCL_FUTURE does not lock new MAP_DROPPABLE memory; before, it did, and nothing unlocked it",
    "mm/vma.c:__mmap_complete()",
    carried_back=(Release(6, 12, 117), Release(6, 18, 44)),
)
COLLAPSE_OF_NONE = Change(
    Release(7, 2),
    "MADV_COLLAPSE of a range that contains no whole huge page does nothing; before, it failed "
    "with EINVAL",
    "mm/khugepaged.c:madvise_collapse()",
)
SMAPS_PER_VMA = Change(
    Release(7, 2),
    "smaps and numa_maps are read under one VMA's lock at a time; before, under mmap_lock",
    "fs/proc/task_mmu.c:m_start()",
)
DONTUNMAP_CUTS = Change(
    Release(7, 3),
    "MREMAP_DONTUNMAP splits the range that it moves from a locked VMA and unlocks only that "
    "range; before, it unlocked the whole VMA, and the pages stayed in locked_vm",
    "mm/mremap.c:prep_move_vma()",
    carried_back=(Release(6, 1, 192), Release(6, 12, 117), Release(7, 2, 13)),
)
DONTUNMAP_LEAVES_NEW = Change(
    Release(7, 3),
    "the source of MREMAP_DONTUNMAP is as if newly mapped and never merges with its own copy; "
    "before, it kept its page offset",
    "mm/mremap.c:dontunmap_complete()",
    carried_back=(Release(6, 1, 192), Release(6, 12, 117), Release(7, 2, 13)),
)
ANON_PGOFF = Change(
    Release(7, 3),
    "private mappings of a file merge only if their anonymous page offsets are contiguous too, "
    "which is no longer so after written memory has moved; before, only the file offset counted",
    "mm/vma.c:needs_adjacent_anon_pgoff()",
)
ZERO_SHARED_READ_ONLY = Change(
    Release(7, 3),
    "MAP_SHARED of a /dev/zero that is open only for reading gives shared memory with its own "
    "file; before, it gave private memory",
    "drivers/char/mem.c:mmap_zero_prepare()",
)
VVAR_NOT_IO = Change(
    Release(7, 3),
    "[vvar] no longer counts as device memory; before, it had VM_IO (io in smaps)",
    "lib/vdso/datastore.c:vdso_install_vvar_mapping()",
)
SCAN_ACCESSED = Change(
    Release(7, 3),
    "PAGEMAP_SCAN knows PAGE_IS_ACCESSED and reports PAGE_IS_WRITTEN only for memory that "
    "userfaultfd protects; before, the former was EINVAL, and the latter was reported for all "
    "pages that are present or swapped",
    "fs/proc/task_mmu.c:pagemap_page_category()",
)


def all_changes() -> list[tuple[str, Change]]:
    """Return each change with its name, the oldest first."""
    named = [(name, value) for name, value in globals().items() if isinstance(value, Change)]
    return sorted(named, key=lambda each: each[1].since)
