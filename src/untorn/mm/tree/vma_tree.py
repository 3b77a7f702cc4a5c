"""The VMA tree. Readers walk it without a lock while one writer changes it.

It is a B+tree of immutable nodes. A writer copies the path that it changes and publishes the whole
new version with one store to VmaTree.root. So a reader that has loaded a root walks one consistent
version for as long as it likes. Like the maple tree (lib/maple_tree.c), the tree stores the ranges
itself: the fields of a VMA may differ from them while its writer is active.

No reader ever sees a half-made version, because every node is complete before root is stored, and
no node changes after that. A reader that loads root twice may get two versions, but the ranges of
each version are consistent.
"""

# An item is a T in a leaf and a node above the leaves; only height tells which. A typed variable
# would cost every lookup an extra store.
# mypy: disable-error-code="no-any-return"

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

from untorn.errors import InvariantError

FANOUT = 64
"""The number of items in a full node. Every node but the root has at least half as many."""
MIN_ITEMS = FANOUT // 2

T = TypeVar("T")
"""The values of a tree: VMAs."""

Slot: TypeAlias = tuple[int, int, T]
"""One range of the tree: start and end in bytes (end exclusive), and the value."""

Keys: TypeAlias = "array[int]"
"""The byte addresses of a node, 64 bits each and dense, so that a search touches little memory.

Never changed once a node holds it.
"""


def keys(values: Iterable[int]) -> Keys:
    """Return the addresses in the form that a node holds."""
    return array("Q", values)


class Node(Generic[T]):
    """One immutable node.

    Attributes:
        height: 0 for a leaf.
        starts, ends: The byte addresses that each item spans, from its first range to its last.
        items: The values in a leaf; otherwise nodes of the next lower height. Only height tells
            which, so that a walk tests nothing else.
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
        """Return the values below this node in address order. This is faster than slots()."""
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
        # The store of root in store.py publishes a version. It pairs with the loads here and in
        # VmaIterator. Each method loads root once, so that it answers from one version.
        self.root: Node[T] = EMPTY

    def find(self, addr: int) -> T | None:
        """Return the value of the range at addr, or else of the next one above.

        Return None if there is no such range. O(log n). Compare lib/maple_tree.c:mt_find().
        """
        # Ends increase, so the first end above addr belongs to the range wanted. In an inner node
        # it belongs to the child with this range, since a child ends where its last range does.
        # Only in the root can there be no such item; below it there always is one.
        node = self.root
        i = bisect_right(node.ends, addr)
        if i == len(node.ends):
            return None
        while node.height:
            node = node.items[i]
            i = bisect_right(node.ends, addr)
        return node.items[i]

    def find_slot(self, addr: int) -> Slot[T] | None:
        """Return the range that find() looks for, with its value. O(log n)."""
        leaf, i = _descend(self.root, addr)
        # All three come from one leaf and so from one version: the value belongs to the range.
        return None if i == len(leaf.ends) else (leaf.starts[i], leaf.ends[i], leaf.items[i])

    def find_before(self, addr: int) -> T | None:
        """Return the value of the last range that starts below addr, or None. O(log n)."""
        # The mirror image of find(): look for the last start below addr, and the child with it.
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
        """Check the order, spans, size, height and gaps of every node.

        Raises:
            InvariantError: the tree is inconsistent.
        """
        if self.root.height and len(self.root.items) < 2:
            raise InvariantError("the root has a single child")
        if self.root.items:
            _check_node(self.root)


class VmaIterator(Generic[T]):
    """An iterator that walks the tree as the kernel's vma_iterator does.

    It remembers the end of the range that it returned last, and searches the newest version of the
    tree for the next range from there. The last range may have shrunk or moved meanwhile, so the
    iterator can be stale: it does not visit ranges that are now below the remembered end. A walk
    that needs them must call set(). Compare include/linux/mm_types.h:VMA_ITERATOR.

    One task owns it.
    """

    __slots__ = ("_leaf", "_offset", "_root", "index", "tree")

    def __init__(self, tree: VmaTree[T], addr: int = 0) -> None:
        self.tree = tree
        self.set(addr)

    def set(self, addr: int) -> None:
        """Move to addr: the next range is the first that ends above it (vma_iter_set)."""
        self.index = addr
        # With EMPTY as root and leaf, next() has to search the tree.
        self._root: Node[T] = EMPTY
        self._leaf: Node[T] = EMPTY
        self._offset = 0

    def next(self) -> T | None:
        """Move to the next range and return its value, or None at the end (vma_next)."""
        root = self.tree.root
        offset = self._offset + 1
        # A version never changes. So if the root is still the same, the next item of the leaf comes
        # next. In a new version the position in the old leaf means nothing, so search from the end
        # of the range returned last. Ranges below that end are not visited.
        if root is self._root and offset < len(self._leaf.ends):
            leaf = self._leaf
        else:
            leaf, offset = _descend(root, self.index)
            if offset == len(leaf.ends):
                return None
            self._root, self._leaf = root, leaf
        self._offset = offset
        # This is the end of the range in the tree. Once the VMA is locked, its own end may turn out
        # to be another one. Then lock_next_vma() moves the iterator there.
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
    """Check node and all nodes below it. Return its largest inner gap in bytes."""
    if not len(node.starts) == len(node.ends) == len(node.gaps) == len(node.items) <= FANOUT:
        raise InvariantError(f"node of {len(node.items)} items with uneven or too many columns")
    # Begin at the first start: the gap before it is recorded in the parent.
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
    # Only the root may have fewer items, and the root is no child.
    if len(child.items) < MIN_ITEMS:
        raise InvariantError(f"node of {len(child.items)} items, fewer than {MIN_ITEMS}")
    if (child.starts[0], child.ends[-1]) != (start, end):
        raise InvariantError(f"child spans {child.starts[0]:x}-{child.ends[-1]:x}, not {start:x}-")
    return _check_node(child)
