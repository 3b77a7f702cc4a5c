"""Mutants that make a task wait for another without need."""

from untorn.check.mutants.mutant import Mutant
from untorn.locking.rwsem import RwSemaphore
from untorn.locking.sync import Task
from untorn.mm.calls import munmap

MUTANTS = [
    Mutant(
        "kill-wakes-first",
        "a task that is killed is woken before it can see that it was killed",
        Task.kill,
        (
            (
                "    self.killed = True\n    self.wake_up()\n",
                "    self.wake_up()\n    self.killed = True\n",
            ),
        ),
        ("wait/killed-by-a-writer",),
    ),
    Mutant(
        "kill-unseen",
        "a killable wait continues although the task was killed",
        Task.wait_until,
        (("if killable and self.killed:", "if False:"),),
        ("wait/killed-by-a-writer",),
    ),
    Mutant(
        "downgrade-wakes-nobody",
        "readers that wait for a writer are let in only when it unlocks, not when it downgrades",
        RwSemaphore._leave_write,
        (("if self._queue else ()", "if self._queue and not readers else ()"),),
        ("wait/behind-a-downgrade",),
    ),
    Mutant(
        "munmap-does-not-downgrade",
        "pages of what was unmapped are freed with mmap_lock held for write",
        munmap.do_munmap,
        (
            ("    mmap_write_downgrade(mm)\n", ""),
            ("    mmap_read_unlock(mm)\n", "    mmap_write_unlock(mm)\n"),
        ),
        ("wait/during-munmap",),
    ),
    Mutant(
        "gives-up-and-wakes-nobody",
        "a task that is killed while it waits for mmap_lock does not let in those in line after it",
        RwSemaphore._give_up,
        (("woken = self._hand_over()", "woken: tuple[Waiter, ...] = ()"),),
        ("wait/behind-a-killed-writer",),
    ),
    Mutant(
        "gives-up-and-keeps-the-lock",
        "a task that is killed while it waits for mmap_lock keeps it if it was just handed over",
        RwSemaphore._give_up,
        (("        if waiter.granted:\n", "        if False:\n"),),
        ("meet/killed",),
    ),
]
