"""An exploration in parts: those that are done, with their outcomes, and those that are left.

A part that takes long returns the rest as new parts, so parts form a tree. Outcomes are summed up
in the order of the tree, up to the first failure, however late that arrived. So the sums do not
depend on which worker made which part, and when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from untorn.check.strategies.branch import Request, Root
from untorn.check.work import Start, WorkOutcome, WorkPart


@dataclass(slots=True, eq=False)
class Part:
    """A part of an exploration, and the parts that were cut from it.

    Attributes:
        start: Where it begins.
        up: The part that it was cut from.
        outcome: The sum for it and those of its parts that are dropped from the tree; None if it is
            yet to be made.
        parts: The parts cut from it that are left, in order.
        root: The root that receives their requests, which may add parts. It receives them when all
            are back, in their order, so that the result does not depend on their speed.
        requests: Its requests to parts further up.
        dropped: Whether it is no longer needed, because a part before it failed.
    """

    start: Start
    up: Part | None = None
    outcome: WorkOutcome | None = None
    parts: list[Part] = field(default_factory=list)
    root: Root | None = None
    requests: tuple[Request, ...] = ()
    dropped: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it is done, with all its parts."""
        return self.outcome is not None and not self.parts

    def left(self) -> Iterator[Part]:
        """Yield the parts that are left, in order."""
        if self.outcome is None:
            yield self
        for part in self.parts:
            yield from part.left()

    def outcomes(self) -> Iterator[WorkOutcome]:
        """Yield those that there are, in order."""
        if self.outcome is not None:
            yield self.outcome
        for part in self.parts:
            yield from part.outcomes()

    def take(self, made: WorkPart) -> list[Part]:
        """Add the outcome of this part; return the parts to be made next."""
        self.outcome, self.root, self.requests = made.outcome, made.root, made.requests
        self.parts = [Part(start, self) for start in made.starts]
        if self.parts:
            return self.parts
        if not made.outcome.complete:
            self._drop_what_follows()
        return self._go_up()

    def _drop_what_follows(self) -> None:
        part = self
        while (up := part.up) is not None:
            place = up.parts.index(part)
            for each in up.parts[place + 1 :]:
                each._drop()
            del up.parts[place + 1 :]
            up.root = None
            part = up

    def _drop(self) -> None:
        for part in self.left():
            part.dropped = True

    def _go_up(self) -> list[Part]:
        """Begin the next round of the part further up whose round this one was the last of."""
        part = self.up
        while part is not None and all(each.is_done for each in part.parts):
            if more := part._next_round():
                return more
            part = part.up
        return []

    def _next_round(self) -> list[Part]:
        assert self.outcome is not None
        for part in self.parts:
            assert part.outcome is not None
            self.outcome = total(self.outcome, part.outcome)
            if self.root is not None:
                self.root.ask(part.requests)
        branches = [] if self.root is None else self.root.branches()
        if self.root is not None and not branches:
            self.requests = tuple(dict.fromkeys((*self.requests, *self.root.requests)))
            self.root = None
        self.parts = [Part(branch, self) for branch in branches]
        return self.parts


def total(so_far: WorkOutcome, more: WorkOutcome) -> WorkOutcome:
    """Return the sum of the outcomes of two parts of a work; so_far comes first."""
    told = so_far if so_far.failure or (so_far.schedule and not more.failure) else more
    return replace(
        so_far,
        schedules=so_far.schedules + more.schedules,
        blocked=so_far.blocked + more.blocked,
        limited=so_far.limited + more.limited,
        steps=so_far.steps + more.steps,
        seconds=so_far.seconds + more.seconds,
        complete=so_far.complete and more.complete,
        failure=told.failure,
        schedule=told.schedule,
    )
