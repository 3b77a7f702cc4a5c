"""/proc/PID: files that tell of VMAs, their records, strategies and text, and the ioctl of maps.

From the top down: files, maps, do_procmap_query, numa_maps, smaps_rollup, smaps, smaps_text,
smaps_gather, task_mmu, maps_line, vma_file, maps_locking, base.
"""
