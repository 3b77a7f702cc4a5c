"""Change a VMA tree: one range, one new version, one store.

Each step takes a node and returns what takes its place: a list of nodes of the same height, none
if nothing is left, more than one if it grew too large. Only the nodes on the way are copied.
"""

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

from untorn.mm.vma_tree import EMPTY, FANOUT, MIN_ITEMS, Node, Slot, VmaTree

Columns = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[Any, ...]]


def store_range(tree: VmaTree, start: int, end: int, entry: Any | None) -> None:
    """Map [start, end) to entry, or to nothing, whatever was there before.

    Ranges that stick out on either side keep what sticks out. Readers see the tree before or
    after, nothing between. O(log n) plus what is overwritten.

    Preconditions: mmap_lock held for write; start < end.
    """
    nodes = _replace(tree.root, start, end, entry)
    while len(nodes) > 1:
        nodes = _chop(nodes[0].height + 1, _columns_of(nodes))
    root = nodes[0] if nodes else EMPTY
    while root.height and len(root.items) == 1:
        root = root.items[0]
    tree.root = root


def _replace(node: Node, start: int, end: int, entry: Any | None) -> list[Node]:
    first = bisect_right(node.ends, start)
    last = bisect_left(node.starts, end)
    if not node.height:
        return _splice(
            node, first, last, _leaf_columns(_remains(node, first, last, start, end, entry))
        )
    if first >= last:  # it lies in a hole between two children
        if entry is None:
            return [node]
        first = min(first, len(node.items) - 1)
        last = first + 1
    nodes = _replace(node.items[first], start, end, entry)
    if last - first > 1:
        nodes += _replace(node.items[last - 1], start, end, None)
    first, last, nodes = _fill_up(node, first, last, nodes)
    return _splice(node, first, last, _columns_of(nodes))


def _remains(
    node: Node, first: int, last: int, start: int, end: int, entry: Any | None
) -> list[Slot]:
    """Return the ranges that take the place of a leaf's items first to last."""
    slots: list[Slot] = []
    if first < last and node.starts[first] < start:
        slots.append((node.starts[first], start, node.items[first]))
    if entry is not None:
        slots.append((start, end, entry))
    if first < last and node.ends[last - 1] > end:
        slots.append((end, node.ends[last - 1], node.items[last - 1]))
    return slots


def _fill_up(parent: Node, first: int, last: int, nodes: list[Node]) -> tuple[int, int, list[Node]]:
    """Join a node that became too small with a neighbour, if need be with one of parent's."""
    while any(len(node.items) < MIN_ITEMS for node in nodes):
        if len(nodes) == 1:
            if first > 0:
                first -= 1
                nodes = [parent.items[first], *nodes]
            elif last < len(parent.items):
                nodes = [*nodes, parent.items[last]]
                last += 1
            else:
                break  # an only child: the parent vanishes or is joined in its turn
        small = next(i for i, node in enumerate(nodes) if len(node.items) < MIN_ITEMS)
        left = max(small - 1, 0)
        nodes[left : left + 2] = _join(nodes[left], nodes[left + 1])
    return first, last, nodes


def _join(left: Node, right: Node) -> list[Node]:
    """Make one node of two neighbours, or two even ones if one would be too large."""
    gaps = _with_first_gap(right, left.ends[-1])
    return _chop(
        left.height,
        (
            left.starts + right.starts,
            left.ends + right.ends,
            left.gaps + gaps,
            left.items + right.items,
        ),
    )


def _with_first_gap(node: Node, end_before: int) -> tuple[int, ...]:
    """Return node's gaps with the hole before its first item counted in."""
    return (max(node.gaps[0], node.starts[0] - end_before), *node.gaps[1:])


def _splice(node: Node, first: int, last: int, new: Columns) -> list[Node]:
    """Put new columns in the place of node's items first to last."""
    starts = node.starts[:first] + new[0] + node.starts[last:]
    ends = node.ends[:first] + new[1] + node.ends[last:]
    items = node.items[:first] + new[3] + node.items[last:]
    gaps = node.gaps[:first] + new[2] + node.gaps[last:]
    seams = {first, first + len(new[0])}  # the items whose predecessor changed
    for i in sorted(s for s in seams if s < len(starts)):
        hole = starts[i] - ends[i - 1] if i else 0
        gap = max(hole, max(items[i].gaps)) if node.height else hole
        gaps = (*gaps[:i], gap, *gaps[i + 1 :])
    return _chop(node.height, (starts, ends, gaps, items))


def _chop(height: int, columns: Columns) -> list[Node]:
    """Make nodes of columns: none, one, or as many even ones as FANOUT asks for."""
    count = len(columns[0])
    pieces = -(-count // FANOUT)
    bounds = [count * k // pieces for k in range(pieces + 1)] if pieces else []
    return [_node(height, columns, i, j) for i, j in pairwise(bounds)]


def _node(height: int, columns: Columns, i: int, j: int) -> Node:
    starts, ends, gaps, items = columns
    starts, ends, gaps, items = starts[i:j], ends[i:j], gaps[i:j], items[i:j]
    if i:  # the hole before a node's first item is its parent's business
        inside = max(items[0].gaps) if height else 0
        gaps = (inside, *gaps[1:])
    return Node(height, starts, ends, gaps, items)


def _leaf_columns(slots: list[Slot]) -> Columns:
    starts = tuple(slot[0] for slot in slots)
    ends = tuple(slot[1] for slot in slots)
    return starts, ends, _gaps(starts, ends, (0,) * len(slots)), tuple(slot[2] for slot in slots)


def _columns_of(nodes: list[Node]) -> Columns:
    starts = tuple(node.starts[0] for node in nodes)
    ends = tuple(node.ends[-1] for node in nodes)
    inside = tuple(max(node.gaps) for node in nodes)
    return starts, ends, _gaps(starts, ends, inside), tuple(nodes)


def _gaps(
    starts: tuple[int, ...], ends: tuple[int, ...], inside: tuple[int, ...]
) -> tuple[int, ...]:
    """Return for each item the larger of the hole inside it and the hole before it."""
    holes = (0, *(start - end for start, end in zip(starts[1:], ends, strict=False)))
    return tuple(map(max, holes, inside))
