"""The VMA tree: byte ranges to VMAs, one writer, readers without a lock.

From the top down: gap, store, vma_tree.
"""
