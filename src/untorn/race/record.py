"""Record the states of an engine's map from outside, as its writers publish them.

Two things count as a state: the tree at each store of its root, inside a write section too; and the
VMAs when the section ends, because a change of attributes alone needs no store.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from untorn.fs.proc.show_map import show_map
from untorn.judge.history import History, State
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.mm.mm_types import MmStruct, Vma, VmaSlab, vm_area_cachep
from untorn.mm.tree.vma_tree import Node, VmaTree

_SEQ: Any = vars(MmStruct)["mm_lock_seq"]
_ROOT: Any = vars(VmaTree)["root"]
"""The slots that hold the values of the properties below."""


class MapRecord:
    """The last states of one map: those that a viewer may still ask for.

    A lock makes publishing a state and reading its number exclude each other: a reader that asks
    for the number before and after a look at the map has seen only states from the first number to
    the second. publish() is called under mmap_lock (write), the rest by any task.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # protects all below, and the viewers' fields
        self._states: deque[State] = deque([()])
        self._first = 0  # number of the oldest state
        self._viewers: list[Viewer] = []

    def publish(self, state: State, store: Callable[[], None]) -> None:
        """Note the state that store() will give to the map, and call store()."""
        with self._mutex:
            if state != self._states[-1]:
                self._states.append(state)
            store()

    def viewer(self) -> "Viewer":
        """Return a new viewer; one task uses it."""
        with self._mutex:
            self._viewers.append(Viewer(self, self._last()))
            return self._viewers[-1]

    def version(self) -> int:
        """Return the number of the current state."""
        with self._mutex:
            return self._last()

    def since(self, viewer: "Viewer", first: int) -> History:
        """Return the states from number first on; the viewer will not ask for older ones again."""
        with self._mutex:
            viewer.first = first
            oldest = min(each.first for each in self._viewers)
            for _ in range(oldest - self._first):
                self._states.popleft()
            self._first = oldest
            states = tuple(islice(self._states, first - oldest, None))
        return History(states, first)

    def _last(self) -> int:
        return self._first + len(self._states) - 1


class Viewer:
    """One reader's view of a record: see target.Record."""

    __slots__ = ("_record", "first")

    def __init__(self, record: MapRecord, first: int) -> None:
        self._record = record
        self.first = first  # the oldest state that this viewer may ask for

    def version(self) -> int:
        """Return the number of the current state."""
        return self._record.version()

    def since(self, first: int) -> History:
        """Return the states from number first to the current one; forget those before."""
        return self._record.since(self, first)


_What = tuple[Permissions, int, Device, int, bytes]
"""What a line of maps says of a VMA besides its range."""


class RecordedTree(VmaTree[Vma]):
    """A tree whose root is recorded before it is stored."""

    __slots__ = ("_leaves", "_whats", "record")

    def __init__(self, record: MapRecord) -> None:
        self.record = record
        # The lines of each leaf of the last published state; and what maps says of VMAs besides
        # their ranges, by everything that determines it. Both are protected by mmap_lock (write).
        self._leaves: dict[Node[Vma], State] = {}
        self._whats: dict[tuple[object, ...], _What] = {}
        super().__init__()

    @property
    def root(self) -> Node[Vma]:
        """The published version."""
        node: Node[Vma] = _ROOT.__get__(self)
        return node

    @root.setter
    def root(self, node: Node[Vma]) -> None:
        known = self._leaves
        self._leaves = {leaf: known.get(leaf) or self._lines(leaf) for leaf in _leaves(node)}
        self.record.publish(self._state(), lambda: _ROOT.__set__(self, node))

    def end_section(self, store: Callable[[], None], seq: int) -> None:
        """Publish the VMAs that were write-locked with sequence seq, as they are now."""
        for leaf in self._leaves:
            if any(vma.vm_lock_seq == seq for vma in leaf.items):
                self._leaves[leaf] = self._lines(leaf)
        self.record.publish(self._state(), store)

    def _state(self) -> State:
        return tuple(chain.from_iterable(self._leaves.values()))

    def _lines(self, leaf: Node[Vma]) -> State:
        what = self._what
        return tuple([MapsEntry(start, end, *what(vma)) for start, end, vma in leaf.slots()])

    def _what(self, vma: Vma) -> _What:
        file = vma.vm_file
        key = (vma.vm_flags, file, file and vma.vm_pgoff, vma.anon_name)
        what = self._whats.get(key)
        if what is None:
            what = self._whats[key] = MapsEntry.parse(show_map(vma))[2:]
        return what


class RecordedMm(MmStruct):
    """An address space whose map is recorded; no heap and no stack, whose names would move."""

    __slots__ = ()

    mm_mt: RecordedTree

    def __init__(
        self, slab: VmaSlab = vm_area_cachep, release: tuple[int, ...] | None = None
    ) -> None:
        super().__init__("race", slab=slab, release=release)
        self.mm_mt = RecordedTree(MapRecord())

    @property
    def mm_lock_seq(self) -> int:
        """Odd in a write section."""
        seq: int = _SEQ.__get__(self)
        return seq

    @mm_lock_seq.setter
    def mm_lock_seq(self, seq: int) -> None:
        if seq & 1 or not seq:  # a section begins, or the mm is just being made
            _SEQ.__set__(self, seq)
        else:
            self.mm_mt.end_section(lambda: _SEQ.__set__(self, seq), seq - 1)


def _leaves(node: Node[Vma]) -> Iterator[Node[Vma]]:
    """Yield the leaves below a node, or the node itself, in address order."""
    if node.height:
        for child in node.items:
            yield from _leaves(child)
    else:
        yield node
