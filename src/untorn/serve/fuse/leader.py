"""Threads that take turns to lead: one receives and answers, unless an answer takes long.

Handing each request to another thread would cost more than most answers take. So one thread, the
leader, receives a request, answers it, and receives the next. Before work that may have to wait it
steps aside: another thread leads from then on, and the old leader becomes a spare thread when it is
done. If a leader is stuck unexpectedly, the lookout replaces it after a moment; that is a thread
that sleeps while there is nothing to do.
"""

import errno
import threading
import time
from collections import Counter
from typing import Generic, Protocol, TypeVar

from untorn.errors import os_error

Room = TypeVar("Room")
Work = TypeVar("Work")
Told = TypeVar("Told", contravariant=True)
_PATIENCE = 0.02
"""Seconds after which an unanswered request must not hold up others any longer."""
_NOTICED_AFTER = 1.0
"""Seconds after which a signal is noticed that came right before the main thread began to wait."""
_MOST_THREADS = 256
"""The most threads that may be busy with requests at the same time."""
_MOST_ASIDE, _MOST_OF_ONE = 224, 96
"""How many of them may wait for something: for all users, and for one. So no user keeps others
from being served, and the leader can still be replaced a few times."""
_MOST_SPARE = 4
"""Idle threads to keep."""


class Server(Protocol[Room, Told]):
    """What the threads do. None of these methods raises anything."""

    def make_room(self) -> Room:
        """Return a place in which a thread receives its requests."""

    def receive(self, room: Room) -> bool:
        """Wait for a request; False if there will be no more. One thread calls it at a time."""

    def answer(self, room: Room) -> object:
        """Answer the request that was received; may call works_on() and step_aside()."""

    def on_stuck(self, work: Told) -> object:
        """Called with the work of a leader that the lookout replaced."""


class Leadership(Generic[Room, Work]):
    """The threads that serve requests.

    Lock order: `_lock` is the innermost; no foreign code is called while it is held.

    Args:
        server: What the threads do.
    """

    def __init__(self, server: Server[Room, Work]) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._leader: _Member | None = None  # protected by _lock, as is everything down to _ended
        self._spare: list[_Member] = []
        self._rooms: list[Room] = []  # of threads that have ended
        self._threads = 0
        self._aside: Counter[int] = Counter()  # waiting threads, by user
        self._all_aside = 0
        self._request = 0  # number of the request that the leader answers, or answered last
        self._busy = False  # whether it is still at it
        self._work: Work | None = None  # what it works on, if it said so
        self._lookout_sleeps = False
        self._ended = False
        self._alarm = threading.Condition(self._lock)  # something to watch, or the end
        self._all_gone = threading.Condition(self._lock)
        self._here = threading.local()

    def serve(self) -> None:
        """Serve requests until there will be no more.

        Raises:
            OSError: EAGAIN if no thread can be started.
        """
        lookout = threading.Thread(target=self._look_out, name="untorn-lookout", daemon=True)
        lookout.start()
        with self._lock:
            if not self._lead_next():
                raise os_error(errno.EAGAIN)
        with self._all_gone:
            # Python runs handlers between two instructions. A wait without a timeout does not end
            # if the signal came after the last of them and before the wait.
            while not self._all_gone.wait_for(lambda: self._ended, _NOTICED_AFTER):
                pass
        lookout.join()

    def wait_for_all(self, seconds: float) -> bool:
        """Wait for threads that are still busy; return whether none is left."""
        with self._all_gone:
            return self._all_gone.wait_for(lambda: not self._threads, seconds)

    def step_aside(self) -> bool:
        """Let another thread lead, if this one does; return whether that was possible.

        A thread that answers a request calls this before it waits for something.
        """
        me: _Member = self._here.member
        with self._lock:
            return self._leader is not me or self._lead_next()

    def works_on(self, work: Work, user: int) -> bool:
        """Record what a thread works on, and for whom; return False if it must not begin.

        It must not if too many threads already wait, for this user or for all.
        """
        me: _Member = self._here.member
        with self._lock:
            leads = self._leader is me
            if leads:
                me.user, self._work = user, work
            may_begin = self._aside[user] < _MOST_OF_ONE and self._all_aside < _MOST_ASIDE
        if not leads:  # it was replaced before it could say so
            self._server.on_stuck(work)
        return may_begin

    def _lead_next(self) -> bool:
        """Make a spare or new thread the leader. Preconditions: _lock is held."""
        member = self._spare.pop() if self._spare else self._new_member()
        if member is None:
            return False
        if self._leader:
            self._leader.aside = True
            self._count_aside(self._leader.user, 1)
        self._leader, self._busy = member, False
        member.turn.release()
        return True

    def _count_aside(self, user: int, number: int) -> None:
        """Count a thread that starts or stops waiting. Preconditions: _lock is held."""
        self._all_aside += number
        self._aside[user] += number
        if not self._aside[user]:
            del self._aside[user]

    def _new_member(self) -> "_Member | None":
        """Start a thread; None if that is impossible. Preconditions: _lock is held."""
        if self._threads >= _MOST_THREADS:
            return None
        member = _Member()
        thread = threading.Thread(target=self._run, args=(member,), name="untorn-fuse", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are too many threads
            return None
        self._threads += 1
        return member

    def _run(self, me: "_Member") -> None:
        self._here.member = me
        me.turn.acquire()
        room = self._take_room()
        while self._may_lead(me):
            if not self._server.receive(room):
                self._end()
                break
            self._begin()
            self._server.answer(room)
        with self._lock:
            self._threads -= 1
            self._rooms.append(room)
            self._all_gone.notify_all()

    def _take_room(self) -> Room:
        with self._lock:
            if self._rooms:
                return self._rooms.pop()
        return self._server.make_room()

    def _begin(self) -> None:
        """Record that the leader is busy, and wake the lookout. The leader calls it."""
        with self._lock:
            self._request += 1
            self._busy = True
            self._work = None
            if self._lookout_sleeps:
                self._alarm.notify()

    def _may_lead(self, me: "_Member") -> bool:
        """Record that a request is answered, and wait for the next turn; return False to end."""
        with self._lock:
            if self._leader is me:
                self._busy = False
                return True
            if me.aside:
                me.aside = False
                self._count_aside(me.user, -1)
            if self._ended or len(self._spare) >= _MOST_SPARE:
                return False
            self._spare.append(me)
        me.turn.acquire()
        with self._lock:
            return self._leader is me

    def _end(self) -> None:
        """Let all threads end: there are no more requests. The leader calls it."""
        with self._lock:
            self._ended, self._leader = True, None
            for member in self._spare:
                member.turn.release()
            self._spare.clear()
            self._alarm.notify()
            self._all_gone.notify_all()

    def _look_out(self) -> None:
        """Replace a leader that works on one request for too long. The lookout runs it."""
        seen = 0
        while (request := self._next_request()) is not None:
            if request == seen and (work := self._replace(request)) is not None:
                self._server.on_stuck(work)
            seen = request
            time.sleep(_PATIENCE)

    def _next_request(self) -> int | None:
        """Wait until the leader is busy; return the number of its request, None at the end."""
        with self._alarm:
            while not (self._busy or self._ended):
                self._lookout_sleeps = True
                self._alarm.wait()
                self._lookout_sleeps = False
            return None if self._ended else self._request

    def _replace(self, request: int) -> Work | None:
        """Let another thread lead if the leader is still at a request; return its work."""
        with self._lock:
            stuck = self._busy and self._request == request
            return self._work if stuck and self._lead_next() else None


class _Member:
    """A thread that serves. The lock of Leadership protects its fields except `turn`."""

    def __init__(self) -> None:
        self.turn = threading.Lock()  # released when this thread must lead, or end
        self.turn.acquire()
        self.user = 0  # the user for whom it works
        self.aside = False  # whether another thread leads while it works
