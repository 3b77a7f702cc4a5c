"""Change a VMA tree: each change of one range makes a new version and publishes it in one store.

Most functions take a node and return the nodes that replace it, all of the same height: none if
nothing is left, and several if it grew too large. Only the nodes on the path are copied.
"""

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

from untorn.mm.tree.vma_tree import EMPTY, FANOUT, MIN_ITEMS, Keys, Node, Slot, T, VmaTree, keys

Columns = tuple[Keys, Keys, tuple[int, ...], tuple[Any, ...]]


def store_range(tree: VmaTree[T], start: int, end: int, entry: T | None) -> None:
    """Map [start, end) to entry, or to nothing, whatever was there before.

    A range that reaches beyond [start, end) keeps the part outside. Readers see the tree as it was
    before or after, and nothing in between. O(log n) plus the number of overwritten ranges.

    Preconditions: mmap_lock held for write; start < end.
    """
    # Nothing that a reader can reach is written to: the code below creates new nodes, which share
    # unchanged parts with the old version.
    nodes = _replace(tree.root, start, end, entry)
    # If the root had to be split, the tree grows by a level.
    while len(nodes) > 1:
        nodes = _chop(nodes[0].height + 1, _columns_of(nodes))
    root = nodes[0] if nodes else EMPTY
    # A root with a single child is one level too many.
    while root.height and len(root.items) == 1:
        root = root.items[0]
    # This one store publishes the whole change. Pairs with the loads of root in vma_tree.py: a
    # reader that loads the new root sees all nodes complete. A reader that loaded the old root
    # keeps walking the old version, which its reference keeps alive, as RCU does in the kernel.
    tree.root = root


def _replace(node: Node[T], start: int, end: int, entry: T | None) -> list[Node[T]]:
    # The range overlaps the items from first up to last: those that end above its start and start
    # below its end.
    first = bisect_right(node.ends, start)
    last = bisect_left(node.starts, end)
    if not node.height:
        slots = _remains(node, first, last, start, end, entry)
        return _splice(node, first, last, _leaf_columns(slots))
    if first >= last:  # the range is in a gap between two children
        if entry is None:
            return [node]
        # The child after the gap takes the entry, or the last child if there is none after it.
        first = min(first, len(node.items) - 1)
        last = first + 1
    # Only the outermost children can have ranges that reach beyond [start, end). The first child
    # takes the entry, and the range is cleared in the last one. Those between are dropped whole.
    nodes = _replace(node.items[first], start, end, entry)
    if last - first > 1:
        nodes += _replace(node.items[last - 1], start, end, None)
    # The usual case: one child replaces one child. Most columns of the node stay as they are.
    elif len(nodes) == 1 and len(nodes[0].items) >= MIN_ITEMS:
        return [_with_child(node, first, nodes[0])]
    first, last, nodes = _join_small(node, first, last, nodes)
    return _splice(node, first, last, _columns_of(nodes))


def _remains(
    node: Node[T], first: int, last: int, start: int, end: int, entry: T | None
) -> list[Slot[T]]:
    """Return the ranges that replace a leaf's items from first up to last."""
    # The first and the last item may be the same range, with a remainder at both ends: a range that
    # is cut in the middle becomes two.
    slots: list[Slot[T]] = []
    if first < last and node.starts[first] < start:
        slots.append((node.starts[first], start, node.items[first]))
    if entry is not None:
        slots.append((start, end, entry))
    if first < last and node.ends[last - 1] > end:
        slots.append((end, node.ends[last - 1], node.items[last - 1]))
    return slots


def _with_child(node: Node[T], i: int, child: Node[T]) -> Node[T]:
    """Return a copy of node with another i-th child. It shares the columns that do not change."""
    starts, ends, gaps = node.starts, node.ends, node.gaps
    if starts[i] != child.starts[0]:
        starts = _key_spliced(starts, i, i + 1, child.starts[:1])
    gap = _gap(child.gap, starts[i], ends[i - 1] if i else None)
    if gaps[i] != gap:
        gaps = _with(gaps, i, gap)
    if ends[i] != child.ends[-1]:
        ends = _key_spliced(ends, i, i + 1, child.ends[-1:])
        # The gap before the next item begins at this end.
        if i + 1 < len(ends):
            gaps = _with(gaps, i + 1, _gap(node.items[i + 1].gap, starts[i + 1], ends[i]))
    # Every store comes through here, so compute the maximum only if a gap has changed.
    largest = node.gap if gaps is node.gaps else max(gaps)
    return Node(node.height, starts, ends, gaps, _with(node.items, i, child), largest)


def _with(column: tuple[Any, ...], i: int, value: Any) -> tuple[Any, ...]:
    values = list(column)
    values[i] = value
    return tuple(values)


def _spliced(
    column: tuple[Any, ...], first: int, last: int, new: tuple[Any, ...]
) -> tuple[Any, ...]:
    values = list(column)
    values[first:last] = new
    return tuple(values)


def _key_spliced(column: Keys, first: int, last: int, new: Keys) -> Keys:
    copy = column[:]
    copy[first:last] = new
    return copy


def _gap(inside: int, start: int, end_before: int | None) -> int:
    """Return the larger of the gap inside an item and the gap before it.

    The gap before the first item of a node is recorded in its parent.
    """
    return inside if end_before is None or start - end_before < inside else start - end_before


def _join_small(
    parent: Node[T], first: int, last: int, nodes: list[Node[T]]
) -> tuple[int, int, list[Node[T]]]:
    """Join a node that became too small with a neighbour, from nodes or from parent."""
    while any(len(node.items) < MIN_ITEMS for node in nodes):
        # A single node takes an untouched neighbour from parent, the left one if there is one.
        if len(nodes) == 1:
            if first > 0:
                first -= 1
                nodes = [parent.items[first], *nodes]
            elif last < len(parent.items):
                nodes = [*nodes, parent.items[last]]
                last += 1
            else:
                break  # an only child: the parent vanishes or is joined next
        small = next(i for i, node in enumerate(nodes) if len(node.items) < MIN_ITEMS)
        left = max(small - 1, 0)
        nodes[left : left + 2] = _join(nodes[left], nodes[left + 1])
    return first, last, nodes


def _join(left: Node[T], right: Node[T]) -> list[Node[T]]:
    """Join two neighbours into one node, or into two even ones if one would be too large.

    An only child may be too small itself. Here it gets a neighbour, and is joined with that first.
    """
    if left.height and min(len(left.items), len(right.items)) == 1:
        children = _join(left.items[-1], right.items[0])
        items = [*left.items[:-1], *children, *right.items[1:]]
        return _chop(left.height, _columns_of(items))
    # Append right's items to left; _splice() takes the gap between them into account.
    columns = right.starts, right.ends, right.gaps, right.items
    return _splice(left, len(left.items), len(left.items), columns)


def _splice(node: Node[T], first: int, last: int, new: Columns) -> list[Node[T]]:
    """Replace node's items from first up to last by new columns."""
    # A gap belongs to the item after it. So two gaps at the seams change: that of the first new
    # item, which now has another item before it, and that of the item after the last new one.
    starts, ends, gaps, items = new
    end_before = node.ends[first - 1] if first else None
    if starts:
        gaps = (_gap(gaps[0], starts[0], end_before), *gaps[1:])
        end_before = ends[-1]
    gaps = _spliced(node.gaps, first, last, gaps)
    if last < len(node.starts):
        inside = node.items[last].gap if node.height else 0
        gaps = _with(gaps, first + len(starts), _gap(inside, node.starts[last], end_before))
    starts = _key_spliced(node.starts, first, last, starts)
    ends = _key_spliced(node.ends, first, last, ends)
    items = _spliced(node.items, first, last, items)
    return _chop(node.height, (starts, ends, gaps, items))


def _chop(height: int, columns: Columns) -> list[Node[T]]:
    """Make nodes of columns: none, one, or several of even size if one would exceed FANOUT."""
    count = len(columns[0])
    if count <= FANOUT:
        return [Node(height, *columns, max(columns[2]))] if count else []
    # The pieces are even, rather than full with a small rest. So each has at least half of FANOUT,
    # because count exceeds FANOUT, and has room for later stores nearby.
    pieces = -(-count // FANOUT)
    bounds = [count * k // pieces for k in range(pieces + 1)]
    return [_cut(height, columns, i, j) for i, j in pairwise(bounds)]


def _cut(height: int, columns: Columns, i: int, j: int) -> Node[T]:
    """Make a node of the items of columns from i up to j."""
    starts, ends, gaps, items = columns
    # The gap before the first item is recorded in the parent from now on.
    inside = items[i].gap if height else 0
    gaps = (inside, *gaps[i + 1 : j])
    return Node(height, starts[i:j], ends[i:j], gaps, items[i:j], max(gaps))


def _leaf_columns(slots: list[Slot[T]]) -> Columns:
    starts = keys([slot[0] for slot in slots])
    ends = keys([slot[1] for slot in slots])
    return starts, ends, _gaps(starts, ends, (0,) * len(slots)), tuple([slot[2] for slot in slots])


def _columns_of(nodes: list[Node[T]]) -> Columns:
    starts = keys([node.starts[0] for node in nodes])
    ends = keys([node.ends[-1] for node in nodes])
    return starts, ends, _gaps(starts, ends, tuple([node.gap for node in nodes])), tuple(nodes)


def _gaps(starts: Keys, ends: Keys, inside: tuple[int, ...]) -> tuple[int, ...]:
    """Return for each item the larger of the gap inside it and the gap before it."""
    return tuple(map(_gap, inside, starts, (None, *ends)))
