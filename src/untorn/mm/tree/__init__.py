"""The VMA tree. It maps byte ranges to VMAs, for one writer and for readers without a lock.

From the top down: gap, store, vma_tree.
"""
