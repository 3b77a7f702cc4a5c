"""Message: one store to a location, which loads may still see under weak memory.

A view says what a task, or the reader of a message, can no longer miss: for a location the number
of the oldest message that may be seen, for a task how many of its ticks are known. Views are never
changed; what has nothing of its own to add shares that of another.
"""

from __future__ import annotations

from typing import Any

View = dict[Any, int]
"""By location the oldest message still to be seen; by task its ticks that are known."""
NOTHING: View = {}


class Message:
    """One store, or what counts as one.

    Attributes:
        number: Of the location's messages, from 0 on.
        value: What was stored; put in when that is done.
        view: What an acquire that reads it learns.
        base: The same without what readers counted in or out have added: they commute.
        task: The task that stored; -1 for the set-up.
        steps: Of the store, and of those that counted; none of the set-up's.
        shared: Another task has counted.
    """

    __slots__ = ("base", "number", "shared", "steps", "task", "value", "view")

    def __init__(
        self,
        value: Any,
        number: int = 0,
        view: View = NOTHING,
        task: int = -1,
        steps: tuple[int, ...] = (),
    ) -> None:
        self.value = value
        self.number = number
        self.view = self.base = view
        self.task = task
        self.steps = steps
        self.shared = False

    def is_all_of(self, task: int) -> bool:
        """Return whether all of its view was handed on by one task."""
        return self.task == task and not self.shared

    def counted(self, view: View, task: int, step: int) -> Message:
        """Return it with one more reader counted in or out."""
        more = Message(None, self.number, view, self.task, (*self.steps, step))
        more.base = self.base
        more.shared = self.shared or self.task != task
        return more


def join(view: View, other: View) -> View:
    """Return what both know; the first itself if it knows all of the other."""
    if other is view or not other:
        return view
    if not view:
        return other
    known = view.get
    for place, number in other.items():
        if number > known(place, -1):
            break
    else:
        return view
    joined = view.copy()
    for place, number in other.items():
        if number > joined.get(place, -1):
            joined[place] = number
    return joined
