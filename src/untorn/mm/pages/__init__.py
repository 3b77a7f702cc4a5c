"""Page faults, and what calls do to the pages of a range.

From the top down: gup, memory, stack, pte_fault, pte_range, hugetlb_fault.
"""
