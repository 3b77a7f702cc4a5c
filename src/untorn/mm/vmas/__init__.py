"""Change the set of VMAs: find a place, store, merge, split.

From the top down: vdso, modify, merge, vm_area, rmap, unmapped_area, map_flags, hugetlb_reserve,
driver, seal, accounting.
"""
