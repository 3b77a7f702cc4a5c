"""Find a gap in a VMA tree: an unmapped range, which the maple tree calls a gap.

A node records for each item the largest gap inside it or right before it. So the search skips whole
subtrees that have no gap large enough, and takes O(log n).
Compare lib/maple_tree.c:mas_empty_area() and mas_empty_area_rev().
"""

from bisect import bisect_left, bisect_right

from untorn.mm.tree.vma_tree import Node, T, VmaTree


def highest_gap(tree: VmaTree[T], length: int, low: int, high: int) -> int | None:
    """Return the end of the highest gap of at least length bytes within [low, high)."""
    root = tree.root
    if not root.items:
        return high if high - low >= length else None
    # Try above all ranges, then between them, then below all. No node records the two outer gaps.
    if high - max(low, root.ends[-1]) >= length:
        return high
    found = _highest(root, length, low, high)
    if found is None and min(high, root.starts[0]) - low >= length:
        found = min(high, root.starts[0])
    return found


def lowest_gap(tree: VmaTree[T], length: int, low: int, high: int) -> int | None:
    """Return the start of the lowest gap of at least length bytes within [low, high)."""
    root = tree.root
    if not root.items:
        return low if high - low >= length else None
    if min(high, root.starts[0]) - low >= length:
        return low
    found = _lowest(root, length, low, high)
    if found is None and high - max(low, root.ends[-1]) >= length:
        found = max(low, root.ends[-1])
    return found


def _highest(node: Node[T], length: int, low: int, high: int) -> int | None:
    """Search the gaps between node's first and last range, from the top down."""
    gaps, starts, ends = node.gaps, node.starts, node.ends
    # The gap before item i may reach below high even if the item starts above high, so the search
    # begins with that item.
    top = min(bisect_left(starts, high), len(gaps) - 1)
    for i in range(top, -1, -1):
        if ends[i] <= low:
            break
        # Neither inside nor before such an item is a gap large enough. This makes it O(log n).
        if gaps[i] < length:
            continue
        # First search inside the item, which is above the gap before it. That may fail even if the
        # recorded gap is large enough: it may be outside [low, high), or be the gap before.
        if node.height and starts[i] < high:
            found = _highest(node.items[i], length, low, high)
            if found is not None:
                return found
        if i and min(starts[i], high) - max(ends[i - 1], low) >= length:
            return min(starts[i], high)
    return None


def _lowest(node: Node[T], length: int, low: int, high: int) -> int | None:
    """Search the gaps between node's first and last range, from the bottom up."""
    gaps, starts, ends = node.gaps, node.starts, node.ends
    for i in range(bisect_right(ends, low), len(gaps)):
        if i and ends[i - 1] >= high:
            break
        if gaps[i] < length:
            continue
        # The gap before the item is lower than those inside, so it comes first.
        if i and min(starts[i], high) - max(ends[i - 1], low) >= length:
            return max(ends[i - 1], low)
        if node.height:
            found = _lowest(node.items[i], length, low, high)
            if found is not None:
                return found
    return None
