"""The VMA tree: byte ranges to VMAs, walked without a lock while one writer changes it.

A B+tree of immutable nodes. A writer copies the path that it changes and publishes the whole new
version with one store to VmaTree.root, so a reader that loaded a root walks one consistent
version for as long as it likes. Like the maple tree (lib/maple_tree.c) it keeps ranges of its
own: a VMA's fields may say something else for as long as its writer is at work.

Why no reader ever meets a half-made version: every node is complete before root is stored, and no
node is changed after that. A reader that loads root, and later loads it again, may get two
versions; within each of them all ranges fit together.
"""

# An item is a T in a leaf and a node above the leaves; only height tells which. A typed variable
# for it would cost every lookup a store.
# mypy: disable-error-code="no-any-return"

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

from untorn.errors import InvariantError

FANOUT = 64
"""Items of a full node; every node but the root has at least half as many."""
MIN_ITEMS = FANOUT // 2

T = TypeVar("T")
"""What a tree maps ranges to: a VMA."""

Slot: TypeAlias = tuple[int, int, T]
"""One range of the tree: start, end (bytes, end exclusive), and what it maps to."""

Keys: TypeAlias = "array[int]"
"""Byte addresses of a node, 64 bits each: dense, as a search in a large tree waits for memory.

Never changed once a node holds it.
"""


def keys(values: Iterable[int]) -> Keys:
    """Return the addresses as a node holds them."""
    return array("Q", values)


class Node(Generic[T]):
    """One immutable node; a leaf has height 0 and the mapped objects as items.

    Attributes:
        starts, ends: The bytes that each item spans, from its first range to its last.
        items: Mapped objects, or nodes of the height below; height alone tells which, so that a
            walk tests nothing else.
        gaps: The largest gap inside each item or right before it (in this node), in bytes.
        gap: The largest of gaps: the largest gap between the node's first and last range.
    """

    __slots__ = ("ends", "gap", "gaps", "height", "items", "starts")

    def __init__(
        self,
        height: int,
        starts: Keys,
        ends: Keys,
        gaps: tuple[int, ...],
        items: tuple[Any, ...],
        gap: int,
    ) -> None:
        self.height = height
        self.starts = starts
        self.ends = ends
        self.gaps = gaps
        self.gap = gap
        self.items = items

    def slots(self) -> Iterator[Slot[T]]:
        """Yield the ranges below this node in address order."""
        if self.height:
            for child in self.items:
                yield from child.slots()
        else:
            yield from zip(self.starts, self.ends, self.items, strict=True)

    def values(self) -> tuple[T, ...]:
        """Return what is mapped below this node, in address order; quicker than slots()."""
        if not self.height:
            return self.items
        return tuple([value for child in self.items for value in child.values()])


EMPTY: Node[Any] = Node(0, keys(()), keys(()), (), (), 0)


class VmaTree(Generic[T]):
    """The published version of the tree.

    Attributes:
        root: Written under mmap_lock (write), one store per change; loaded by anyone.
    """

    __slots__ = ("root",)

    def __init__(self) -> None:
        # The store of root publishes a version (store.py); pairs with the loads of it here and in
        # VmaIterator. Each method loads it once, so that it answers from one version.
        self.root: Node[T] = EMPTY

    def find(self, addr: int) -> T | None:
        """Return what the first range that ends above addr maps to: the one there, or the next.

        None if there is no such range. O(log n). Compare lib/maple_tree.c:mt_find().
        """
        # Ends increase, so the first one above addr is that of the range wanted. In an inner node
        # it names the child that has this range: its end is that of its last range. Only the root
        # can be passed by altogether; below it there is always such an item.
        node = self.root
        i = bisect_right(node.ends, addr)
        if i == len(node.ends):
            return None
        while node.height:
            node = node.items[i]
            i = bisect_right(node.ends, addr)
        return node.items[i]

    def find_slot(self, addr: int) -> Slot[T] | None:
        """Return the range that find() looks for, with what it maps to. O(log n)."""
        leaf, i = _descend(self.root, addr)
        # All three from one leaf, and so from one version: a range and what it maps to, not the
        # range of now and the VMA of then.
        return None if i == len(leaf.ends) else (leaf.starts[i], leaf.ends[i], leaf.items[i])

    def find_before(self, addr: int) -> T | None:
        """Return what the last range that starts below addr maps to, or None. O(log n)."""
        # The mirror image: the last start below addr, and the child that has it.
        node = self.root
        i = bisect_left(node.starts, addr)
        if i == 0:
            return None
        while node.height:
            node = node.items[i - 1]
            i = bisect_left(node.starts, addr)
        return node.items[i - 1]

    def __iter__(self) -> Iterator[Slot[T]]:
        return self.root.slots()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check_invariants(self) -> None:
        """Check order, spans, fill, height and gaps of every node.

        Raises:
            InvariantError: the tree contradicts itself.
        """
        if self.root.height and len(self.root.items) < 2:
            raise InvariantError("the root has a single child")
        if self.root.items:
            _check_node(self.root)


class VmaIterator(Generic[T]):
    """Walks the tree as the kernel's vma_iterator does: it goes on where it stood.

    It remembers the end of the range that it returned last, and looks for the next range from
    there, in the newest version of the tree. That range may have shrunk or been moved since, so
    the iterator can be stale: what now lies below the remembered end is not visited. A
    walk that needs it must seat the iterator anew. Compare include/linux/mm_types.h:VMA_ITERATOR.

    Owned by one task.
    """

    __slots__ = ("_leaf", "_offset", "_root", "index", "tree")

    def __init__(self, tree: VmaTree[T], addr: int = 0) -> None:
        self.tree = tree
        self.set(addr)

    def set(self, addr: int) -> None:
        """Stand at addr: the next range is the first that ends above it (vma_iter_set)."""
        self.index = addr
        # No leaf belongs to EMPTY, so next() has to look in the tree.
        self._root: Node[T] = EMPTY
        self._leaf: Node[T] = EMPTY
        self._offset = 0

    def next(self) -> T | None:
        """Step to the next range and return what it maps to, or None at the end (vma_next)."""
        root = self.tree.root
        offset = self._offset + 1
        # A version never changes: if it is still the same root, the neighbour in the leaf is what
        # comes next. In a new version the position in the old leaf means nothing, and the end of
        # the range returned last is looked up; what has been put below it is passed over.
        if root is self._root and offset < len(self._leaf.ends):
            leaf = self._leaf
        else:
            leaf, offset = _descend(root, self.index)
            if offset == len(leaf.ends):
                return None
            self._root, self._leaf = root, leaf
        self._offset = offset
        # The end that the tree has for the range. The VMA may say another one once it is locked:
        # lock_next_vma() then seats the iterator anew.
        self.index = leaf.ends[offset]
        return leaf.items[offset]


def _descend(node: Node[T], addr: int) -> tuple[Node[T], int]:
    """Return the leaf and offset of the first range that ends above addr."""
    offset = bisect_right(node.ends, addr)
    if offset == len(node.ends):
        return EMPTY, 0
    while node.height:
        node = node.items[offset]
        offset = bisect_right(node.ends, addr)
    return node, offset


def _check_node(node: Node[Any]) -> int:
    """Check node and all below it; return its largest inner gap, in bytes."""
    if not len(node.starts) == len(node.ends) == len(node.gaps) == len(node.items) <= FANOUT:
        raise InvariantError(f"node of {len(node.items)} items with uneven or too many columns")
    # From the first start on: the gap before it is recorded in the parent.
    end_before = node.starts[0]
    for start, end, gap, item in zip(node.starts, node.ends, node.gaps, node.items, strict=True):
        if not end_before <= start < end:
            raise InvariantError(f"range {start:x}-{end:x} after one that ends at {end_before:x}")
        inside = _check_child(node, item, start, end) if node.height else 0
        if gap != max(inside, start - end_before):
            raise InvariantError(f"gap of {gap:#x} recorded at {start:x}")
        end_before = end
    if node.gap != max(node.gaps):
        raise InvariantError(f"largest gap of {node.gap:#x} recorded for {node.gaps}")
    return node.gap


def _check_child(node: Node[Any], child: Node[Any], start: int, end: int) -> int:
    if child.height != node.height - 1:
        raise InvariantError(f"height {child.height} under {node.height}")
    # Only the root may have fewer, and the root is no child.
    if len(child.items) < MIN_ITEMS:
        raise InvariantError(f"node of {len(child.items)} items, fewer than {MIN_ITEMS}")
    if (child.starts[0], child.ends[-1]) != (start, end):
        raise InvariantError(f"child spans {child.starts[0]:x}-{child.ends[-1]:x}, not {start:x}-")
    return _check_node(child)
