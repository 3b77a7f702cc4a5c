"""The nodes that the kernel knows, by number.

A number is given out only once, so that no name in the kernel can come to mean another node than
the one that it was given for.
"""

import threading
from collections.abc import Sequence

from untorn.serve.fuse.node import Directory, Node

_LONG = 10.0
"""Seconds; a name that is kept for less may lose its meaning at any time."""
ROOT = 1
"""Number of the root. Source: libfuse's include/fuse_lowlevel.h, FUSE_ROOT_ID."""


class Inodes:
    """Numbers of nodes, and how often the kernel learnt each.

    A node that the kernel forgets may be looked up again at the same moment: it then drops what it
    holds, and gets a new number.
    """

    def __init__(self, root: Node) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[int, Node] = {ROOT: root}  # protected by _lock, like those below
        self._counts: dict[int, int] = {ROOT: 1}
        self._numbers: dict[Node, int] = {root: ROOT}
        self._last = ROOT
        self._passing: dict[int, dict[bytes, int]] = {}
        self._places: dict[int, tuple[int, bytes]] = {}  # directory and name of each of these

    def __getitem__(self, number: int) -> Node:
        with self._lock:
            return self._nodes[number]

    def __len__(self) -> int:
        with self._lock:
            return len(self._nodes)

    def learnt(self, node: Node, parent: int, name: bytes) -> int:
        """Return the number of a node that the kernel now learns under that name."""
        with self._lock:
            number = self._numbers.get(node)
            if number is None:
                self._last += 1
                number = self._numbers[node] = self._last
                self._nodes[number], self._counts[number] = node, 0
            self._counts[number] += 1
            if isinstance(node, Directory) and node.keep < _LONG and number not in self._places:
                self._passing.setdefault(parent, {})[name] = number
                self._places[number] = parent, name
            return number

    def forgotten(self, number: int, times: int) -> None:
        """Record that the kernel forgets a node that it learnt this many times."""
        with self._lock:
            self._counts[number] -= times
            if self._counts[number] or number == ROOT:
                return
            node = self._nodes.pop(number)
            del self._counts[number], self._numbers[node]
            self._drop_place(number)
        node.forget()

    def _drop_place(self, number: int) -> None:
        parent, name = self._places.pop(number, (0, b""))
        names = self._passing.get(parent, {})
        if names.get(name) == number:
            del names[name]
            if not names:
                del self._passing[parent]

    def passing(self, parent: int) -> Sequence[bytes]:
        """Return the names in a directory that mean directories which may vanish at any time."""
        with self._lock:
            return list(self._passing.get(parent, ()))
