"""/proc/PID: files that tell of VMAs, their records, lockings and text, and the ioctl of maps.

From the top down: files, maps, do_procmap_query, numa_maps, smaps_rollup, smaps, smaps_text,
smaps_gather, task_mmu, show_map, vma_file, maps_locking, base.
"""
