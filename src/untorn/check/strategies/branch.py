"""Parts of an exploration, as they can be sent to other processes and back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from untorn.check.strategies.depth_first import bits


class Branch(NamedTuple):
    """All schedules that begin in one way."""

    plan: tuple[int, ...] = ()
    """The tasks that make the first steps; under weak memory transitions, see ChoosingDpor."""
    asleep: int = 0
    """Mask of those that need not make the last of these, as others see to that."""


ALL = Branch()
"""Every schedule."""


class Request(NamedTuple):
    """A race that was found in a branch, to be made the other way round outside of it."""

    step: int
    """Which step of the plan they are to be made before."""
    initials: int
    """Mask of the tasks that could make such an order begin there."""
    wanted: int
    """Mask of those to be tried if none of them is."""


@dataclass(slots=True)
class Root:
    """A schedule of an exploration, and what is to be tried instead at each of its steps.

    The branches that leave it are independent but for what they ask of it; so they can be
    explored side by side. A root may stand in a branch of another one: its first steps are then
    the other's to decide on.

    Attributes:
        path: The tasks that made its steps.
        backtrack: Of each step, a mask of the tasks to be tried there.
        done: Of each step, a mask of those that were, or whose branch was handed out.
        sleep: Of each step, a mask of those that need not be, as it was done elsewhere.
        start: How many of its steps are another root's.
        requests: What is asked of that one.
        left: Under weak memory, of each step a mask of transitions to be tried there, too.
    """

    path: tuple[int, ...]
    backtrack: list[int]
    done: list[int]
    sleep: list[int]
    start: int = 0
    requests: list[Request] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def ask(self, requests: Iterable[Request]) -> None:
        """Take in what branches ask for."""
        # As in SourceDpor, but only now: what other branches asked for meanwhile may do. Requests
        # come in the order of the branches, so what is tried does not depend on who was faster.
        for request in requests:
            step, initials, wanted = request
            if step < self.start:
                self.requests.append(request)
            elif not initials & (self.backtrack[step] | self.sleep[step]):
                self.backtrack[step] |= wanted

    def branches(self) -> list[Branch]:
        """Return the branches that nobody has yet, and count them as handed out."""
        found = []
        for index, tasks in enumerate(self.backtrack):
            # What is left of a task that was begun comes before the other tasks: it sleeps there.
            for step in *bits(self.left[index]), *bits(tasks):
                # Those that were handed out before sleep in it, as they would one after the other:
                # what begins with them is explored there, be it at the same time.
                asleep = self.done[index] | self.sleep[index]
                if not asleep >> step & 1:
                    found.append(Branch((*self.path[:index], step), asleep))
                    self.done[index] |= 1 << step
        return found
