"""The answer of one side to an operation, and which parts of it are compared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, Self

from untorn.conform.operation import POLICY_CALLS, Operation

_NAMELESS = b"/dev/zero (deleted)\n", b"/anon_hugepage (deleted)\n"
"""Ends of lines of memory whose file is created by the mapping itself."""


_TEXTS = "maps", "policies", "smaps"
_FIELD = re.compile(rb"(\w+):(?: +(.*))?")
_COMPARED = b"Size", b"KernelPageSize", b"MMUPageSize", b"VmFlags"
_OF_THE_MACHINE = b"ProtectionKey"
_SOFT_DIRTY = b"sd "


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side made of an operation.

    Attributes:
        result: What it returned; a negated errno if it failed.
        maps: The text of maps afterwards; see InodeNumbers.
        counts: Pages of each kind afterwards; see kernel_side.COUNTS.
        policies: After a call about memory policies: where each VMA is, and its policy.
        smaps: After the operation smaps: what smaps shows; see smaps_of().
        fault: For the engine: the exception that ended it, and where. All else is then empty.
    """

    result: int = 0
    maps: bytes = b""
    counts: dict[str, int] | None = None
    policies: bytes = b""
    smaps: bytes = b""
    fault: str = ""

    def digest(self) -> str:
        """Return a digest that equal answers share and different answers do not."""
        counts = sorted((self.counts or {}).items())
        texts = [getattr(self, name) for name in _TEXTS]
        short = repr((self.result, counts, self.fault, [len(text) for text in texts]))
        told = blake2b(short.encode(), digest_size=12)
        for text in texts:
            told.update(text)
        return told.hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        texts = {name: getattr(self, name).decode("latin-1") for name in _TEXTS}
        return {"result": self.result, "counts": self.counts, "fault": self.fault} | texts

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the answer that as_json() turned into these fields."""
        return cls(**fields | {name: fields[name].encode("latin-1") for name in _TEXTS})


class InodeNumbers:
    """Numbers for the inodes of memory without a file of its own, counted from 1 as they appear.

    So we compare which lines of maps share an inode, not which number a kernel chose.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[bytes, bytes], int] = {}

    def put_into(self, maps: bytes) -> bytes:
        """Return the text with these numbers; its layout stays the same."""
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
    """The interface of both sides."""

    def do(self, operation: Operation) -> int:
        """Do an operation; return its result, or a negated errno."""

    def maps(self) -> bytes:
        """Return the text of maps, with InodeNumbers in it."""

    def counts(self) -> dict[str, int]:
        """Return pages by kind."""

    def policies(self) -> bytes:
        """Return where each VMA is and its memory policy, one line each."""

    def smaps(self) -> bytes:
        """Return the text of smaps."""


def do_all(side: Side, calls: Sequence[Operation]) -> int:
    """Let a side do all calls, up to one that fails; return the last result."""
    result = 0
    for call in calls:
        result = side.do(call)
        if result < 0:
            break
    return result


def answer_of(side: Side, calls: Sequence[Operation]) -> Answer:
    """Do the same, and return the answer."""
    result = do_all(side, calls)
    last = calls[-1].name if calls else ""
    policies = side.policies() if last in POLICY_CALLS else b""
    smaps = smaps_of(side.smaps()) if last == "smaps" else b""
    return Answer(result, side.maps(), side.counts(), policies, smaps)


def smaps_of(text: bytes) -> bytes:
    """Return the parts of smaps to compare: the order of fields, and what VMAs alone decide.

    Fields that depend on pages are compared only by tests of their own, which know what is in the
    page cache. Whether VMAs have a protection key depends on the CPU, and whether writes to them
    are tracked (sd) on the kernel's configuration.
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
