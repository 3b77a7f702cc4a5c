"""Access: a task that reads or writes a page, as a page fault sees it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from untorn.check import runtime
from untorn.check.ghost import Look
from untorn.check.pages import Pages, addr
from untorn.judge.history import State
from untorn.maps.fields import Permissions


@dataclass(slots=True)
class Access:
    """A task that accesses a page once.

    Attributes:
        task: Its number among the tasks.
        look: What became of it: as text, whether it was allowed; None before.
    """

    task: int
    process: Pages
    page: int
    write: bool
    look: Look | None = None

    def run(self) -> None:
        """Make it."""
        run = runtime.run
        assert run is not None
        began = run.steps
        allowed = self.process.access(self.page, write=self.write)
        self.look = Look(self.task, began, run.steps - 1, allowed)

    def is_allowed_in(self, state: State) -> bool:
        """Say whether the mappings of a state allow it; on x86 any permission allows to read."""
        at = addr(self.page)
        return any(
            line.writable if self.write else line.permissions & ~Permissions.SHARED
            for line in state
            if at in line
        )

    def __str__(self) -> str:
        return f"{'write to' if self.write else 'read of'} {addr(self.page):08x}"
