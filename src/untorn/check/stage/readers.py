"""Tasks whose results are judged: readers of a map or of pages, and tasks that access a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from untorn.check.runtime import running
from untorn.check.stage.pages import Pages, addr
from untorn.fs.proc.pagemap import ProcPagemap
from untorn.fs.proc.vma_file import ProcVmaFile
from untorn.judge.history import State
from untorn.maps.fields import Permissions
from untorn.maps.maps_file import FILL_SIZE
from untorn.maps.page import PAGE_SIZE
from untorn.maps.pagemap import ENTRY_SIZE

T = TypeVar("T")


@dataclass(slots=True)
class ReaderLook:
    """One read() or query of a task.

    Attributes:
        task: Its number.
        began: The number of steps chosen before the call.
        ended: Index of its last step.
        text: What it returned; for an access, whether it was allowed.
    """

    task: int
    began: int
    ended: int
    text: object


def look(task: int, ask: Callable[[], object]) -> ReaderLook:
    """Let the running task, which has this number, take a look."""
    run = running.run
    assert run is not None
    began = run.steps
    text = ask()
    return ReaderLook(task, began, run.steps - 1, text)


@dataclass(slots=True)
class Reader:
    """A task that makes one pass over a map, and its results.

    Attributes:
        task: Its number among the tasks.
        kind: A file of VMA_LINES, or of maps query (a walk by queries) or query-one (one
            query, of page 0).
        file: What it reads.
        size: Bytes requested by each read().
        looks: Its reads or queries of this run.
        judged: Whether its results form a pass of their own, to be judged.
        interrupted: Whether it was killed in this run, so that its pass is incomplete.
        killable: Whether it may be killed.
        keeps_mmap_lock: Whether it may hold mmap_lock for a whole fill, by its strategy or because
            VMAs are at their limit of readers.
    """

    task: int
    kind: str
    file: ProcVmaFile
    size: int = FILL_SIZE
    looks: list[ReaderLook] = field(default_factory=list)
    judged: bool = True
    interrupted: bool = False
    killable: bool = False
    keeps_mmap_lock: bool = False

    @property
    def start(self) -> int:
        """Byte address where the pass starts."""
        return addr(0) if self.kind == "query-one" else 0

    def begin(self) -> None:
        """Forget the results of the run before."""
        self.looks.clear()
        self.interrupted = False

    def run(self) -> None:
        """Make the pass."""
        if self.kind == "query-one":
            ask = partial(self.file.query, addr(0), next=True)
            self._look(partial(self._unless_gone, ask))
        elif self.kind == "query":
            queries = self.file.walk()
            while self._look(partial(self._unless_gone, partial(next, queries, None))):
                pass
        else:
            while self._look(self._read):
                pass

    def _read(self) -> bytes:
        return self._unless_gone(partial(self.file.read, self.size)) or b""

    def _unless_gone(self, ask: Callable[[], T]) -> T | None:
        """Return the answer; None if there is none, the process is gone, or the task was killed."""
        try:
            return ask()
        except (FileNotFoundError, ProcessLookupError):
            return None
        except InterruptedError:
            if not self.killable:
                raise
            self.interrupted = True
            return None

    def _look(self, ask: Callable[[], object]) -> object:
        self.looks.append(look(self.task, ask))
        return self.looks[-1].text


@dataclass(slots=True)
class PagemapReader:
    """A task that reads ranges of pagemap, one after the other.

    Attributes:
        task: Its number among the tasks.
        file: What it reads.
        reads: First page and end of each read_at().
        looks: Its reads of this run, in the same order.
    """

    task: int
    file: ProcPagemap
    reads: tuple[tuple[int, int], ...]
    looks: list[ReaderLook] = field(default_factory=list)

    def begin(self) -> None:
        """Forget the results of the run before."""
        self.looks.clear()

    def run(self) -> None:
        """Read all of them."""
        for first, end in self.reads:
            offset, size = addr(first) // PAGE_SIZE * ENTRY_SIZE, (end - first) * ENTRY_SIZE
            self.looks.append(look(self.task, partial(self.file.read_at, offset, size)))


@dataclass(slots=True)
class Access:
    """A task that accesses a page once.

    Attributes:
        task: Its number among the tasks.
        look: Its result: as text, whether it was allowed; None before.
    """

    task: int
    process: Pages
    page: int
    write: bool
    look: ReaderLook | None = None

    def run(self) -> None:
        """Make it."""
        self.look = look(self.task, partial(self.process.access, self.page, write=self.write))

    def is_allowed_in(self, state: State) -> bool:
        """Return whether the mappings of a state allow it; on x86 any permission allows reading."""
        at = addr(self.page)
        return any(
            line.writable if self.write else line.permissions & ~Permissions.SHARED
            for line in state
            if at in line
        )

    def __str__(self) -> str:
        return f"{'write to' if self.write else 'read of'} {addr(self.page):08x}"
