"""/proc/PID: the files about VMAs, with their records, lockings and text, and the ioctl of maps.

pagemap and kpage are about pages. They have one binary entry for each page and no text.

From the top down: kpage, pagemap, do_pagemap_scan, pagemap_entries, files, maps, do_procmap_query,
procmap_struct, numa_maps, smaps_rollup, smaps, smaps_text, smaps_gather, task_mmu, show_map,
vma_file, maps_locking, base.
"""
