"""Slots of production classes, watched from outside while programs are explored: see shared.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from untorn.check.runtime import running
from untorn.check.runtime.location import READ, WRITE, SharedLocation
from untorn.check.runtime.shared import EXCLUSIVE, GUARDED, POINTS
from untorn.check.runtime.trace import Guard
from untorn.mm.mm_types import Vma
from untorn.mm.mman import VM_ATOMIC_SET_ALLOWED


class DataRaceError(Exception):
    """Two tasks touched a field that a lock protects, and no lock ordered them.

    Attributes:
        other: The task whose access came first; the running one's was about to be made.
    """

    def __init__(self, message: str, other: int) -> None:
        super().__init__(message)
        self.other = other


class Watched:
    """One watched slot.

    Attributes:
        cls, name: Which.
        slot: The slot itself; its reads and writes are not noticed.
        cells: The SharedLocation or Guard of each object.
        stored: Called after each store with object and value; by the ghost history.
    """

    __slots__ = ("cells", "cls", "name", "slot", "stored")

    def __init__(self, cls: type, name: str) -> None:
        self.cls = cls
        self.name = name
        self.slot: Any = vars(cls)[name]
        self.cells: dict[Any, Any] = {}
        self.stored: Callable[[Any, Any], None] | None = None

    def new_cell(self, name: str) -> SharedLocation | Guard:
        """Return the cell of the field of one more object."""
        return SharedLocation(name)

    def descriptor(self) -> property:
        """Return the slot's replacement, of closures, because every access pays for it."""
        raise NotImplementedError

    @property
    def alias(self) -> str:
        """The name of the slot while it is replaced."""
        return f"unwatched_{self.name}"

    def direct(self, access: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with `owner.slot` in its text meaning this slot.

        Python loads an attribute that the text names ten times as fast as it calls slot.__get__.
        """
        code = access.__code__
        names = tuple(self.alias if name == "slot" else name for name in code.co_names)
        return FunctionType(
            code.replace(co_names=names), access.__globals__, closure=access.__closure__
        )

    def set_up(self, owner: object, name: str) -> None:
        """Watch the field of an object that the scenario set up."""
        self.cells[owner] = self.new_cell(f"{name}.{self.name}")

    def all_cells(self) -> Iterator[tuple[object, SharedLocation | Guard]]:
        """Yield each object that is watched, with its cells."""
        yield from self.cells.items()

    def forget(self) -> None:
        """Watch no object any more."""
        self.cells.clear()  # they keep their objects alive
        self.stored = None


class Point(Watched):
    """A slot whose accesses are steps."""

    __slots__ = ()

    def descriptor(self) -> property:
        """Return the property."""
        # Cells are looked up by object, because slots leave no room for them. An object without one
        # is not watched: it belongs to the set-up, or to another world.
        cells, adopt, delete = self.cells, self._adopt, self.slot.__delete__

        def fget(owner: Any) -> object:
            cell = cells.get(owner)
            if cell is not None:
                running.point(cell, READ)
            return owner.slot

        def fset(owner: Any, value: object) -> None:
            # The first store is the constructor's. No other task can know the object yet, so it is
            # no step; from then on the object may have been published.
            cell = cells.get(owner)
            if cell is not None:
                running.point(cell, WRITE)
            else:
                adopt(owner)
            owner.slot = value
            # Called after the store, and before any other task runs: the history notes the new
            # value.
            if self.stored is not None:
                self.stored(owner, value)

        def fdel(owner: object) -> None:
            cell = cells.get(owner)
            if cell is not None:
                running.point(cell, WRITE)
            delete(owner)

        return property(self.direct(fget), self.direct(fset), fdel)

    def _adopt(self, owner: object) -> None:
        """Watch an object from its constructor's store on: until then only its maker knows it."""
        if running.run is not None:
            name = f"{self.cls.__name__}.{self.name}"
            running.adopt(self.cells, owner, running.location(name))


class Guarded(Watched):
    """A slot that a lock protects.

    Attributes:
        exclusive: Whether its object is changed in place, so that a load counts as a store.
    """

    __slots__ = ("exclusive",)

    def __init__(self, cls: type, name: str, *, exclusive: bool = False) -> None:
        super().__init__(cls, name)
        self.exclusive = exclusive

    def new_cell(self, name: str) -> Guard:
        """Return the cell of the field of one more object."""
        return Guard(name)

    def descriptor(self) -> property:
        """Return the property."""
        cells, racing, exclusive = self.cells, self._racing, self.exclusive

        def fget(owner: Any) -> object:
            # No step, and so no point: as long as no two accesses race, the order of the steps
            # determines theirs, and checking one order for races checks all.
            run = running.run
            if run is not None and run.tracks:
                cell = cells.get(owner)
                if cell is not None:
                    if exclusive:
                        other = run.trace.store(run.current, cell)
                    else:
                        other = run.trace.load(run.current, cell)
                    if other is not None:
                        racing(cell, "load", other)  # does not come back, unless it cleans up
            return owner.slot

        def fset(owner: Any, value: object) -> None:
            run = running.run
            if run is not None and run.tracks:
                cell = cells.get(owner)
                if cell is None:  # a new object; its maker's store is noted like any other
                    cell = Guard(f"{self.cls.__name__}.{self.name}")
                    running.adopt(cells, owner, cell)
                other = run.trace.store(run.current, cell)
                if other is not None:
                    racing(cell, "store", other)
            owner.slot = value

        return property(self.direct(fget), self.direct(fset), self.slot.__delete__)

    @staticmethod
    def _racing(guard: Guard, access: str, other: int) -> None:
        run = running.run
        if run is not None:
            who, whom = run.tasks[run.current].name, run.tasks[other].name
            message = f"{who}'s {access} of {guard.name} races with {whom}'s"
            run.fail(DataRaceError(message, other))


class GuardedBits(Guarded):
    """A guarded slot of bits; several tasks may set some of them at once, while others load.

    A store that sets only such bits races with other such stores, not with loads. It races with a
    store to the other bits only if its own load does, which comes just before.

    Attributes:
        atomic: Those bits.
        setters: By object in which one was set, the task that did so.
    """

    __slots__ = ("atomic", "setters")

    def __init__(self, cls: type, name: str, atomic: int) -> None:
        super().__init__(cls, name)
        self.atomic = atomic
        self.setters: dict[Any, Guard] = {}

    def descriptor(self) -> property:
        """Return the property."""
        whole, cells, setters, atomic = super().descriptor(), self.cells, self.setters, self.atomic
        get, put, racing = self.slot.__get__, self.slot.__set__, self._racing
        assert whole.fset is not None
        store = whole.fset

        def fset(owner: object, value: int) -> None:
            run = running.run
            sets = value & atomic and owner in cells and not (get(owner) ^ value) & ~atomic
            if run is None or not sets:
                store(owner, value)
                return
            if run.tracks:
                if owner not in setters:
                    name = f"{self.cls.__name__}.{self.name}, set atomically"
                    running.adopt(setters, owner, Guard(name))
                other = run.trace.store(run.current, setters[owner])
                if other is not None:
                    racing(setters[owner], "store", other)
            put(owner, value)

        return property(whole.fget, fset, self.slot.__delete__)

    def all_cells(self) -> Iterator[tuple[object, SharedLocation | Guard]]:
        """Yield each object that is watched, with its cells."""
        yield from super().all_cells()
        yield from self.setters.items()

    def forget(self) -> None:
        """Watch no object any more."""
        super().forget()
        self.setters.clear()


Field = tuple[type, str]

WATCHED: dict[Field, Watched] = {
    **{(cls, name): Point(cls, name) for cls, names in POINTS.items() for name in names},
    **{(cls, name): Guarded(cls, name) for cls, names in GUARDED.items() for name in names},
    **{
        (cls, name): Guarded(cls, name, exclusive=True)
        for cls, names in EXCLUSIVE.items()
        for name in names
    },
    (Vma, "vm_flags"): GuardedBits(Vma, "vm_flags", VM_ATOMIC_SET_ALLOWED),
}


def points_of(*, speculated: bool) -> list[Field]:
    """Return the fields that are steps; they include those of VMAs if one is copied without a lock.

    Such a race is part of the protocol, and whether the copy is valid depends on the order of the
    accesses.
    """
    found = [(cls, name) for cls, names in POINTS.items() for name in names]
    return [*found, *((Vma, name) for name in GUARDED[Vma] if speculated)]


def slot_of(cls: type, name: str) -> Any:
    """Return the slot itself, watched or not."""
    watched = WATCHED.get((cls, name))
    return vars(cls)[name] if watched is None else watched.slot


@contextmanager
def installed(instead: Mapping[Field, Watched]) -> Iterator[None]:
    """Watch the fields; some in another way than in WATCHED."""
    usual = {field: WATCHED[field] for field in instead}
    try:
        WATCHED.update(instead)
        # A slot is a descriptor of its class, so putting another one there reaches every object,
        # also those that were made before.
        for (cls, name), watched in WATCHED.items():
            setattr(cls, watched.alias, watched.slot)
            setattr(cls, name, watched.descriptor())
        yield
    finally:
        for (cls, name), watched in WATCHED.items():
            setattr(cls, name, watched.slot)
            delattr(cls, watched.alias)
            watched.forget()
        WATCHED.update(usual)


@contextmanager
def unguarded() -> Iterator[None]:
    """Let accesses to guarded fields pass unwatched, for strategies that do not look for races."""
    # The slots themselves, and not watchers that return at once: a call for each access costs as
    # much as the access.
    guarded = [(field, each) for field, each in WATCHED.items() if isinstance(each, Guarded)]
    try:
        for (cls, name), watched in guarded:
            setattr(cls, name, watched.slot)
        yield
    finally:
        for (cls, name), watched in guarded:
            setattr(cls, name, watched.descriptor())
