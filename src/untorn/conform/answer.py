"""What one side makes of an operation, and what of it is compared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, Self

from untorn.conform.operation import POLICY_CALLS, Operation

_NAMELESS = b"/dev/zero (deleted)\n", b"/anon_hugepage (deleted)\n"
"""Ends of lines about memory whose file comes into being with its mapping."""


_TEXTS = "maps", "policies", "smaps"
_FIELD = re.compile(rb"(\w+):(?: +(.*))?")
_COMPARED = b"Size", b"KernelPageSize", b"MMUPageSize", b"VmFlags"
_OF_THE_MACHINE = b"ProtectionKey"
_SOFT_DIRTY = b"sd "


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side made of an operation.

    Attributes:
        result: What it returned, an errno negated.
        maps: The text of maps afterwards; see InodeNumbers.
        counts: Pages of each kind afterwards; see kernel_side.COUNTS.
        policies: Of a call about memory policies, where each VMA is and its policy afterwards.
        smaps: Of the operation of that name, what smaps tells; see smaps_of().
        fault: Of the engine: the exception that ended it, and where. The rest is empty then.
    """

    result: int = 0
    maps: bytes = b""
    counts: dict[str, int] | None = None
    policies: bytes = b""
    smaps: bytes = b""
    fault: str = ""

    def digest(self) -> str:
        """Return what equal answers, and no others, have in common."""
        counts = sorted((self.counts or {}).items())
        texts = [getattr(self, name) for name in _TEXTS]
        short = repr((self.result, counts, self.fault, [len(text) for text in texts]))
        told = blake2b(short.encode(), digest_size=12)
        for text in texts:
            told.update(text)
        return told.hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        texts = {name: getattr(self, name).decode("latin-1") for name in _TEXTS}
        return {"result": self.result, "counts": self.counts, "fault": self.fault} | texts

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the answer that as_json() made these fields of."""
        return cls(**fields | {name: fields[name].encode("latin-1") for name in _TEXTS})


class InodeNumbers:
    """Numbers for the inodes of memory without a file of its own, from 1 as they first appear.

    Which lines of maps share an inode is compared so, and not which number a kernel drew.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[bytes, bytes], int] = {}

    def put_into(self, maps: bytes) -> bytes:
        """Return the text with these numbers; nothing in it moves."""
        return b"".join(map(self._line, maps.splitlines(keepends=True)))

    def _line(self, line: bytes) -> bytes:
        return self._numbered(line) if line.endswith(_NAMELESS) else line

    def _numbered(self, line: bytes) -> bytes:
        *before, device, inode, after = line.split(b" ", 5)
        number = self._numbers.setdefault((device, inode), len(self._numbers) + 1)
        name = after.lstrip()
        column = str(number).encode().ljust(len(inode) + 1 + len(after) - len(name))
        return b" ".join((*before, device, column + name))


class Side(Protocol):
    """What both sides offer."""

    def do(self, operation: Operation) -> int:
        """Do an operation; return its result, an errno negated."""

    def maps(self) -> bytes:
        """Return the text of maps, with InodeNumbers in it."""

    def counts(self) -> dict[str, int]:
        """Return pages by kind."""

    def policies(self) -> bytes:
        """Return where each VMA is and its memory policy, a line for each."""

    def smaps(self) -> bytes:
        """Return the text of smaps."""


def do_all(side: Side, calls: Sequence[Operation]) -> int:
    """Let a side do all, up to one that fails; return the last result."""
    result = 0
    for call in calls:
        result = side.do(call)
        if result < 0:
            break
    return result


def answer_of(side: Side, calls: Sequence[Operation]) -> Answer:
    """Do the same, and return what came of it."""
    result = do_all(side, calls)
    last = calls[-1].name if calls else ""
    policies = side.policies() if last in POLICY_CALLS else b""
    smaps = smaps_of(side.smaps()) if last == "smaps" else b""
    return Answer(result, side.maps(), side.counts(), policies, smaps)


def smaps_of(text: bytes) -> bytes:
    """Return what is compared of smaps: the fields in their order, and what VMAs alone decide.

    What pages decide is only compared by tests of its own, which know what is in the page cache.
    Whether VMAs have a protection key is a matter of the CPU, and whether writes to them are
    noted (sd) one of how the kernel is built.
    """
    lines = text.splitlines()
    begins = (line for line in map(_compared, lines) if line)
    return b"".join(line + b"\n" for line in begins)


def _compared(line: bytes) -> bytes:
    field = _FIELD.fullmatch(line)
    if field is None:
        start, _, more = line.partition(b" ")
        return start + b" " + more[:4]
    if field[1] == _OF_THE_MACHINE:
        return b""
    return line.replace(_SOFT_DIRTY, b"") if field[1] in _COMPARED else field[1]
