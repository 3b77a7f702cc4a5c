"""World: everything that a scenario sets up, so that each schedule begins in the same state.

It is found by following slots, lists, tuples and dicts from the scenario's own objects, and put
back slot by slot: the objects stay the same ones, so a location means the same in every schedule.
"""

from __future__ import annotations

import _thread
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from untorn.check.runtime.counter import AtomicInt
from untorn.check.runtime.fields import WATCHED, slot_of
from untorn.check.runtime.primitives import Mutex


class RawPrimitiveError(Exception):
    """A primitive that the checker cannot see is used where it must see everything."""


_Noted = list[tuple[object, tuple[object, ...]]]
"""Objects, and the values of some of their fields."""
_Put = Callable[[_Noted], None]
"""Restores these."""


class World:
    """The state reachable from some named objects, and how to get back to it."""

    __slots__ = (
        "_dicts",
        "_mutexes",
        "_objects",
        "_seen",
        "_sequences",
    )

    def __init__(self, roots: dict[str, object]) -> None:
        """Note the state now.

        Args:
            roots: What to follow, with names for reports. Nothing else may be shared by tasks.

        Raises:
            RawPrimitiveError: a primitive among it does not come from sync.
        """
        self._objects: dict[_Put, _Noted] = defaultdict(list)
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._sequences: list[tuple[Any, Any]] = []
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
        """Return the name of a mutex that is held; empty if none is."""
        return next((each.location.name for each in self._mutexes if each.locked()), "")

    def restore(self) -> None:
        """Put everything back."""
        # Below the watchers, and also into slots that are empty now, such as that of a dropped mm.
        for put, noted in self._objects.items():
            put(noted)
        # In place: others refer to the container itself.
        for known, content in self._dicts:
            if known or content:  # most are empty, and stay so
                known.clear()
                known.update(content)
        for sequence, items in self._sequences:
            sequence[:] = items

    def _note(self, name: str, found: object) -> Iterator[tuple[str, object]]:
        """Note one object; yield what it refers to."""
        # A raw lock would block the thread of all tasks, and no schedule would see why.
        if isinstance(found, _thread.LockType):
            raise RawPrimitiveError(f"{name} is a lock that does not come from sync")
        if isinstance(found, Mutex | AtomicInt):
            found.location.name = name
        if isinstance(found, Mutex):
            self._mutexes.append(found)
            self._note_fields(found.location, {"blocked": found.locked()})
        if isinstance(found, AtomicInt):
            self._note_fields(found, {"value": found.value})
            self._dicts.append((found.counted, {}))
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
        values: dict[str, object] = {}
        for cls in type(owner).__mro__:
            for field in getattr(cls, "__slots__", ()):
                if isinstance(owner, Mutex | AtomicInt):
                    continue  # noted above; the rest is the checker's own
                if field == "__weakref__":
                    continue  # weak references to it are no state of its own
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
                    values[watched.alias if watched else field] = value
                yield f"{name}.{field.lstrip('_')}", value
        self._note_fields(owner, values)

    def _note_fields(self, owner: object, values: dict[str, object]) -> None:
        if values:
            put = _put_of(type(owner), tuple(values))  # type: ignore[arg-type]  # it is hashable
            self._objects[put].append((owner, tuple(values.values())))


def is_constant(cls: type) -> bool:
    """Return whether the fields of a class are never stored into after its constructor."""
    return is_dataclass(cls) and bool(cls.__dataclass_params__.frozen)  # type: ignore[attr-defined]


@cache
def _put_of(cls: type, fields: tuple[str, ...]) -> _Put:
    """Return a function that puts noted values back into these fields of objects of one class."""
    # Python stores into an attribute that the text names ten times as fast as setattr() does, if
    # the objects that the text meets are all of one class.
    targets = "".join(f"owner.{field}, " for field in fields)
    made: dict[str, _Put] = {}
    exec(f"def put(noted):\n for owner, ({targets}) in noted: pass", made)
    return made["put"]
