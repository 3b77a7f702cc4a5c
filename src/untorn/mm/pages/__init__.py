"""Handle page faults, and change the pages of a range for system calls.

From the top down: gup, memory, stack, pte_fault, pte_range, hugetlb_fault.
"""
