"""Parts of an exploration, which can be sent to other processes and back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from untorn.check.strategies.depth_first import bits


class Branch(NamedTuple):
    """All schedules with a common beginning."""

    plan: tuple[int, ...] = ()
    """The tasks that make the first steps; under weak memory transitions, see ChoosingDpor."""
    asleep: int = 0
    """Mask of those that need not make the last of these steps, because other branches do."""


ALL = Branch()
"""Every schedule."""


class Request(NamedTuple):
    """A race found in a branch, whose reverse order is to be made outside of it."""

    step: int
    """Index of the step of the plan before which it is to be made."""
    initials: int
    """Mask of the tasks that could begin such an order there."""
    wanted: int
    """Mask of the tasks to try if none of these is tried."""


@dataclass(slots=True)
class Root:
    """A schedule of an exploration, and the tasks to try instead at each of its steps.

    The branches that leave it are independent, except for their requests; so they can be explored
    in parallel. A root may be inside a branch of another root, which then decides on its first
    steps.

    Attributes:
        path: The tasks that made its steps.
        backtrack: Of each step, a mask of the tasks to be tried there.
        done: For each step, a mask of those that were tried, or whose branch was handed out.
        sleep: For each step, a mask of those that were done elsewhere.
        start: The number of its steps that are another root's.
        requests: The requests to that root.
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
        """Add the requests of branches."""
        # As in SourceDpor, but only now: what other branches asked for meanwhile may do. Requests
        # come in the order of the branches, so what is tried does not depend on their speed.
        for request in requests:
            step, initials, wanted = request
            if step < self.start:
                self.requests.append(request)
            elif not initials & (self.backtrack[step] | self.sleep[step]):
                self.backtrack[step] |= wanted

    def branches(self) -> list[Branch]:
        """Return the branches that were not handed out yet, and count them as handed out."""
        found = []
        for index, tasks in enumerate(self.backtrack):
            # What is left of a task that was begun comes before the other tasks: it sleeps there.
            for step in *bits(self.left[index]), *bits(tasks):
                # Those that were handed out before sleep in it, as if explored one after the other:
                # what begins with them is explored there, perhaps at the same time.
                asleep = self.done[index] | self.sleep[index]
                if not asleep >> step & 1:
                    found.append(Branch((*self.path[:index], step), asleep))
                    self.done[index] |= 1 << step
        return found
