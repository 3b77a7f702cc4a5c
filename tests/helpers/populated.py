"""A process with memory of every kind, and what smaps says of it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from tests.helpers.commanded import Commanded
from tests.helpers.repository import ROOT
from tests.helpers.smaps_records import Record, records
from tests.helpers.this_machine import HAS_SCANS, SEES_FRAMES
from untorn.reader.memory.memory import Memory

_SUMS = {
    "size": ("Size",),
    "rss": ("Rss",),
    "private": ("Private_Clean", "Private_Dirty"),
    "shared": ("Shared_Clean", "Shared_Dirty"),
    "anonymous": ("Anonymous",),
    "swap": ("Swap",),
    "huge": ("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"),
    "hugetlb": ("Private_Hugetlb", "Shared_Hugetlb"),
    "ksm": ("KSM",),
    "pss": ("Pss",),
    "swap_pss": ("SwapPss",),
    "locked": ("Locked",),
    "private_clean": ("Private_Clean",),
    "private_dirty": ("Private_Dirty",),
    "shared_clean": ("Shared_Clean",),
    "shared_dirty": ("Shared_Dirty",),
    "pss_dirty": ("Pss_Dirty",),
    "huge_anon": ("AnonHugePages",),
    "huge_shmem": ("ShmemPmdMapped",),
    "huge_file": ("FilePmdMapped",),
    "page_size": ("KernelPageSize",),
}
_SHARES = "pss", "swap_pss", "locked", "pss_dirty"
"""Fields in which smaps drops the fraction of a kB."""
OF_HUGE = "huge", "huge_anon", "huge_shmem", "huge_file"
BY_WRITES = "private_clean", "private_dirty", "shared_clean", "shared_dirty", "pss_dirty"
"""Fields in which pages freed lazily, and still there, count as written. LazyFree says how many
there are, but lags behind for the last ones on each CPU."""
TOLD = tuple(name for name in _SUMS if name not in ("swap_pss", "locked"))
"""What smaps says exactly, and pagemap too for a process that may see page frames."""
PLAIN = "size", "rss", "anonymous", "swap", "huge", "hugetlb", "huge_anon", "page_size"
"""What is exact without the right to see page frames."""
COUNTED = TOLD if SEES_FRAMES else PLAIN if HAS_SCANS else ("size", "swap", "hugetlb")
"""What is exact here if pages are counted."""
WAYS = {"smaps": 60.0, "pagemap": 1e-9}
"""How long a lock may be held; this decides how a process is looked at."""
EXACT = {"smaps": TOLD, "pagemap": COUNTED}
_LOOKS = 20


class Populated(Commanded):
    """It does what regions.py can do.

    Args:
        kinds: Regions that it has from the start.

    Attributes:
        at: The byte address of each region, by kind.
    """

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        super().__init__()
        self.do(f"sys.path.insert(0, {str(ROOT)!r}); from tests.helpers import regions")
        self.at = {kind: self.make(kind) for kind in kinds}

    def make(self, kind: str) -> int:
        """Let it make a region; return its byte address."""
        return int(self.do(f"print(regions.make({kind!r}))"))

    def fork(self, change: str = "None") -> int:
        """Let it fork a copy that evaluates this first; return the copy's PID."""
        return int(self.do(f"print(regions.fork(lambda: {change}))"))


class Told:
    """What smaps says: in bytes, one row per VMA."""

    def __init__(self, text: bytes) -> None:
        self.records = records(text)
        self.sums = {
            name: [_sum(record, fields) for record in self.records]
            for name, fields in _SUMS.items()
            if self.records[0].fields.keys() >= {fields[0]}
        }

    @classmethod
    def by(cls, pid: int) -> Self:
        return cls(Path(f"/proc/{pid}/smaps").read_bytes())

    def differences(
        self, memory: Memory, exact: Iterable[str], but: Iterable[str] = ()
    ) -> dict[tuple[str, bytes], str]:
        """Return what differs: values neither equal nor, if that is allowed, within bounds.

        Args:
            memory: The memory to compare.
            exact: What must be equal.
            but: What is not compared.
        """
        found = {}
        assert [record.line for record in self.records] == [vma.line() for vma in memory]
        for name in self.sums.keys() - set(but):
            sums = self.sums[name]
            bounds = memory.bounds(name)
            if bounds is None and name not in exact:
                continue
            assert bounds, f"nothing is known of {name}"
            for record, least, most, told in zip(self.records, *bounds, sums, strict=True):
                if name in BY_WRITES and record.kb("LazyFree"):
                    continue
                room = 1023 if name in _SHARES else 0
                is_between = int(least) - room <= told <= int(most)
                if not is_between or (name in exact and least != most):
                    text = f"{name} {least} to {most}, in smaps {told}: {record.line!r}"
                    found[name, record.line] = text
        return found


def _sum(record: Record, fields: tuple[str, ...]) -> int:
    return sum(record.kb(field) << 10 for field in fields if field in record.fields)


def differences(
    pid: int, look: Callable[[], Memory], exact: Iterable[str], but: Iterable[str] = ()
) -> list[str]:
    """Return how the memory differs from smaps in every look at the process.

    It stands still, but it shares files with processes that come and go.
    """
    always = Told.by(pid).differences(look(), exact, but)
    for _ in range(_LOOKS):
        if always:
            found = Told.by(pid).differences(look(), exact, but)
            always = {key: found[key] for key in always if key in found}
    return list(always.values())
