"""The address space of a process: its VMAs, the tree that holds them, and the locks of both.

Lock order, outermost first. A task may skip a level; it never goes back up.

    SeqFile.lock              one read() at a time per open file
        MmStruct.mmap_lock    many readers, or one writer
            Vma lock          many readers, or the mmap_lock writer
                MmStruct.page_table_lock    for a few lines
                PageTable.lock    one table of one address space at a time; in a fork the
                                  parent's, then the child's
                    AddressSpace.lock, Page.lock, HugePool.lock    how often pages are mapped
                VmaSlab, MemMap, AtomicInt, the locks' own mutexes   innermost, for a few lines

A task that waits for mmap_lock while it holds a VMA read lock can deadlock: the writer that owns
mmap_lock may be waiting for that very reader to leave. An RCU read-side critical section may begin
at any level. No task sleeps in one, so no task waits for mmap_lock there.

The comments beside the fields in mm_types.py, page_table.py, filemap.py and hugetlb.py say which
lock protects them.

From the top down: calls, truncate, pages, vmas, vma_lookup, vma_lock, mmap_lock, mm_types, tree,
page_table, mem_map, file, hugetlb, filemap, mempolicy, committed, limits, mman.
"""
