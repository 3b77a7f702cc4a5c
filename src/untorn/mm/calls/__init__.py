"""The system calls that change an address space, one module for each.

From the top down: shm, brk, hugetlb, mmap, mremap, mremap_dontunmap, mremap_check, munmap, fork,
exit, anon_name, madvise, madvise_check, madvise_flags, madvise_page, mbind, mlock, mprotect,
mseal, msync, mincore.
"""
