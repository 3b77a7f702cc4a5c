"""World: everything a scenario set up, so that each schedule begins from the same state.

It is found by following slots, lists, tuples and dicts from the scenario's own objects, and put
back slot by slot: the objects stay the same ones, so a location means the same in every schedule.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

from untorn.check.runtime.counter import AtomicInt
from untorn.check.runtime.fields import WATCHED, slot_of
from untorn.check.runtime.location import SharedLocation
from untorn.check.runtime.primitives import Mutex


class RawPrimitiveError(Exception):
    """Something that the checker cannot see is used where it must see everything."""


class World:
    """The state reachable from some named objects, and how to get back to it."""

    __slots__ = (
        "_counters",
        "_dicts",
        "_fields",
        "_locations",
        "_mutexes",
        "_owners",
        "_seen",
        "_sequences",
        "_values",
    )

    def __init__(self, roots: dict[str, object]) -> None:
        """Note the state now.

        Args:
            roots: What to follow, with names for reports. Nothing else may be shared by tasks.

        Raises:
            RawPrimitiveError: a primitive among it does not come from sync.
        """
        self._owners: list[object] = []
        self._fields: list[str] = []
        self._values: list[object] = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._sequences: list[tuple[Any, Any]] = []
        self._counters: list[AtomicInt] = []
        self._locations: list[SharedLocation] = []
        self._mutexes: list[Mutex] = []
        self._seen: dict[int, object] = {}
        # Breadth first, so that what can be reached in several ways is named by the shortest one.
        # _seen keeps each object alive: an id is that of one object for as long as the world lasts.
        queue = list(roots.items())
        for name, found in queue:
            if id(found) not in self._seen:
                self._seen[id(found)] = found
                queue += self._note(name, found)

    def held(self) -> str:
        """Return the name of a mutex that somebody holds; empty if nobody holds any."""
        return next((each.location.name for each in self._mutexes if each.locked()), "")

    def restore(self) -> None:
        """Put everything back."""
        # Below the watchers, and also into slots that stand empty now, as that of a dropped mm.
        _exhaust(map(setattr, self._owners, self._fields, self._values))  # no bytecode for each
        # In place: others refer to the container itself.
        for known, content in self._dicts:
            known.clear()
            known.update(content)
        for sequence, items in self._sequences:
            sequence[:] = items
        # What the primitives keep besides their values.
        for counter in self._counters:
            counter.counted.clear()
        for location in self._locations:
            location.blocked = location.idle

    def _note(self, name: str, found: object) -> Iterator[tuple[str, object]]:
        """Note one object; yield what it refers to."""
        # A raw lock would block the thread of all tasks, and no schedule would see why.
        if isinstance(found, _thread.LockType):
            raise RawPrimitiveError(f"{name} is a lock that does not come from sync")
        if isinstance(found, Mutex | AtomicInt):
            found.location.name = name
            self._locations.append(found.location)
        if isinstance(found, Mutex):
            self._mutexes.append(found)
        if isinstance(found, AtomicInt):
            self._counters.append(found)
            self._note_field(found, "value", found.value)
        elif isinstance(found, dict):
            self._dicts.append((found, dict(found)))
            yield from ((f"{name}[{key!r}]", value) for key, value in found.items())
        elif isinstance(found, list | bytearray):
            self._sequences.append((found, found[:]))
        if isinstance(found, list | tuple):
            yield from ((f"{name}[{i}]", value) for i, value in enumerate(found))
        elif type(found).__module__.startswith("untorn."):
            yield from self._note_slots(name, found)

    def _note_slots(self, name: str, owner: object) -> Iterator[tuple[str, object]]:
        for cls in type(owner).__mro__:
            for field in getattr(cls, "__slots__", ()):
                if isinstance(owner, Mutex | AtomicInt):
                    continue  # noted above; the rest is the checker's own
                if field == "__weakref__":
                    continue  # who refers weakly to it is no state of its own
                slot = slot_of(cls, field)
                # Read below the watcher: setting up is no step.
                watched = WATCHED.get((cls, field))
                if watched is not None:
                    watched.set_up(owner, name)
                try:
                    value = slot.__get__(owner)
                except AttributeError:
                    continue
                if not is_constant(cls):
                    self._note_field(owner, watched.alias if watched else field, value)
                yield f"{name}.{field.lstrip('_')}", value

    def _note_field(self, owner: object, field: str, value: object) -> None:
        self._owners.append(owner)
        self._fields.append(field)
        self._values.append(value)


def is_constant(cls: type) -> bool:
    """Say whether the fields of a class are never stored into after its constructor."""
    return is_dataclass(cls) and bool(cls.__dataclass_params__.frozen)  # type: ignore[attr-defined]


_exhaust: Callable[[Iterable[object]], None] = deque[object](maxlen=0).extend
