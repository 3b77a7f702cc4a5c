"""Timeline: which thread ran where on a simulated machine, and which held mmap_lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from untorn.locking.replaced import replaced
from untorn.locking.rwsem import RwSemaphore, Waiter
from untorn.mm.mm_types import MMAP_LOCK
from untorn.sim.machine import Thread
from untorn.sim.rwsem import StolenRwSemaphore
from untorn.sim.simulation import Simulation


class Span(NamedTuple):
    """What a thread did from one moment to another, in ns of virtual time."""

    start: int
    end: int
    thread: str


@dataclass(slots=True)
class Timeline:
    """The recorded spans; each list is in the order of their ends.

    Attributes:
        runs: By CPU, the threads that ran.
        reads: The threads that held mmap_lock for reading.
        writes: The threads that held it for writing, until they released or downgraded it.
    """

    runs: dict[int, list[Span]] = field(default_factory=dict)
    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)

    @contextmanager
    def watching(self, simulation: Simulation) -> Iterator[None]:
        """Record a simulation that is about to begin."""
        watch = _Watch(simulation, self)
        simulation.machine.ran = watch.ran
        base, stolen = watch.methods(), watch.wake_ups()
        with replaced(RwSemaphore, base), replaced(StolenRwSemaphore, stolen):
            yield


class _Watch:
    """Fills a timeline: it wraps the methods of mmap_lock."""

    def __init__(self, simulation: Simulation, timeline: Timeline) -> None:
        self._simulation, self._timeline = simulation, timeline
        self._running: dict[int, tuple[int, Thread]] = {}
        self._since: dict[str, int] = {}

    def ran(self, cpu: int, thread: Thread | None) -> None:
        """Record that a CPU begins to run a thread, or none."""
        now = self._simulation.now
        if cpu in self._running:
            start, before = self._running.pop(cpu)
            self._timeline.runs.setdefault(cpu, []).append(Span(start, now, before.name))
        if thread is not None:
            self._running[cpu] = now, thread

    def methods(self) -> dict[str, Callable[..., Any]]:
        """Return replacements for the lock's methods."""
        reads, writes = self._timeline.reads, self._timeline.writes
        return {
            "down_read": self._after(RwSemaphore.down_read, self._taken),
            "down_write": self._after(RwSemaphore.down_write, self._taken),
            "up_read": self._before(RwSemaphore.up_read, lambda: self._released(reads)),
            "up_write": self._before(RwSemaphore.up_write, lambda: self._released(writes)),
            "downgrade_write": self._before(RwSemaphore.downgrade_write, self._downgraded),
        }

    def wake_ups(self) -> dict[str, Callable[..., Any]]:
        """Return a replacement for the method that chooses which task to wake."""
        hand_over = StolenRwSemaphore._hand_over
        return {"_hand_over": self._after(hand_over, self._handed_over)}

    def _taken(self, _: None) -> None:
        self._since.setdefault(self._name(), self._simulation.now)

    def _handed_over(self, woken: tuple[Waiter, ...]) -> None:
        # A task that is granted the lock holds it from now on, whenever it runs.
        granted = (waiter.task.name for waiter in woken if waiter.granted)
        self._since.update(dict.fromkeys(granted, self._simulation.now))

    def _released(self, spans: list[Span]) -> None:
        name = self._name()
        spans.append(Span(self._since.pop(name), self._simulation.now, name))

    def _downgraded(self) -> None:
        self._released(self._timeline.writes)
        self._taken(None)

    def _name(self) -> str:
        assert self._simulation.current is not None
        return self._simulation.current.name

    def _is_of_interest(self, lock: RwSemaphore) -> bool:
        """Return whether a lock is mmap_lock and the clock has started."""
        return lock.lock_class == MMAP_LOCK and self._simulation.current is not None

    def _after(self, method: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]:
        """Return a method that records what it returned, if that is of interest."""

        def noting(lock: RwSemaphore, **keywords: bool) -> Any:
            result = method(lock, **keywords)
            if self._is_of_interest(lock):
                note(result)
            return result

        return noting

    def _before(self, method: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
        """Return a method that records that it is called, if that is of interest."""

        def noting(lock: RwSemaphore) -> Any:
            if self._is_of_interest(lock):
                note()
            return method(lock)

        return noting
