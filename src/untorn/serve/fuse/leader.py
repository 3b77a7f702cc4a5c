"""Threads that take turns to lead: one receives and answers, unless an answer takes its time.

To hand each request to another thread costs more than most answers take. So one thread, the leader,
receives a request, answers it, and receives the next. Before what may have to wait it steps aside:
another thread leads from then on, and it comes back as a spare one when it is done. A leader that
is stuck where nobody expected it is replaced after a moment by the lookout, a thread that sleeps
while there is nothing to do.
"""

import errno
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from untorn.errors import os_error

Room = TypeVar("Room")
Work = TypeVar("Work")
_PATIENCE = 0.02
"""Seconds after which a request that is not answered holds up others no longer."""
_MOST_THREADS = 256
"""That may be busy with requests at the same time."""
_MOST_SPARE = 4
"""Threads that are kept though they have nothing to do."""


class Leadership(Generic[Room, Work]):
    """The threads that serve requests.

    Lock order: `_lock` is the innermost; nothing of others is called with it held.

    Args:
        receive: Waits for a request; False if there will be none any more. Is called by one thread
            at a time.
        answer: Answers the request that was received. Neither raises anything.
        make_room: Returns what a thread receives its requests in.
        on_stuck: Is told what the leader works on that is replaced by the lookout.
    """

    def __init__(
        self,
        receive: Callable[[Room], bool],
        answer: Callable[[Room], object],
        make_room: Callable[[], Room],
        on_stuck: Callable[[Work], object],
    ) -> None:
        self._receive, self._answer, self._make_room = receive, answer, make_room
        self._on_stuck = on_stuck
        self._lock = threading.Lock()
        self._leader: _Member | None = None  # protected by _lock, as are those down to _ended
        self._spare: list[_Member] = []
        self._threads = 0
        self._request = 0  # number of the one that the leader answers, or answered last
        self._busy = False  # whether it is at it still
        self._work: Work | None = None  # on which it is at work, if it said so
        self._lookout_sleeps = False
        self._ended = False
        self._alarm = threading.Condition(self._lock)  # something to look out for, or the end
        self._all_gone = threading.Condition(self._lock)
        self._here = threading.local()

    def serve(self) -> None:
        """Serve requests until there will be none any more.

        Raises:
            OSError: EAGAIN if no thread can be started.
        """
        lookout = threading.Thread(target=self._look_out, name="untorn-lookout", daemon=True)
        lookout.start()
        with self._lock:
            if not self._lead_next():
                raise os_error(errno.EAGAIN)
        with self._all_gone:
            self._all_gone.wait_for(lambda: self._ended)
        lookout.join()

    def wait_for_all(self, seconds: float) -> bool:
        """Wait for the threads that are busy still; return whether none is left."""
        with self._all_gone:
            return self._all_gone.wait_for(lambda: not self._threads, seconds)

    def step_aside(self) -> bool:
        """Have another thread lead, if this one does; return whether one could be had.

        For a thread that answers a request, before it waits for something.
        """
        me: _Member = self._here.member
        with self._lock:
            return self._leader is not me or self._lead_next()

    def works_on(self, work: Work) -> None:
        """Note what the leader works on. By the leader."""
        with self._lock:
            self._work = work

    def _lead_next(self) -> bool:
        """Make a spare thread the leader, or a new one. Preconditions: _lock is held."""
        if self._spare:
            self._leader = self._spare.pop()
            self._busy = False
            self._leader.turn.release()
            return True
        if self._threads >= _MOST_THREADS:
            return False
        member = _Member()
        try:
            threading.Thread(
                target=self._run, args=(member,), name="untorn-fuse", daemon=True
            ).start()
        except RuntimeError:  # there are too many threads
            return False
        self._leader, self._busy = member, False
        self._threads += 1
        member.turn.release()
        return True

    def _run(self, me: "_Member") -> None:
        self._here.member = me
        room = self._make_room()
        me.turn.acquire()
        while self._may_lead(me):
            if not self._receive(room):
                self._end()
                break
            self._begin()
            self._answer(room)
        with self._lock:
            self._threads -= 1
            self._all_gone.notify_all()

    def _begin(self) -> None:
        """Note that the leader is busy, and wake the lookout. By the leader."""
        with self._lock:
            self._request += 1
            self._busy = True
            self._work = None
            if self._lookout_sleeps:
                self._alarm.notify()

    def _may_lead(self, me: "_Member") -> bool:
        """Note that a request is answered, and wait for the next turn; False to go."""
        with self._lock:
            if self._leader is me:
                self._busy = False
                return True
            if self._ended or len(self._spare) >= _MOST_SPARE:
                return False
            self._spare.append(me)
        me.turn.acquire()
        with self._lock:
            return self._leader is me

    def _end(self) -> None:
        """Send all home: there are no requests any more. By the leader."""
        with self._lock:
            self._ended, self._leader = True, None
            for member in self._spare:
                member.turn.release()
            self._spare.clear()
            self._alarm.notify()
            self._all_gone.notify_all()

    def _look_out(self) -> None:
        """Replace a leader that answers the same request for too long. By the lookout."""
        seen = 0
        while (request := self._next_request()) is not None:
            if request == seen and (work := self._replace(request)) is not None:
                self._on_stuck(work)
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
        """Have another thread lead if the leader is at a request still; return its work."""
        with self._lock:
            stuck = self._busy and self._request == request
            return self._work if stuck and self._lead_next() else None


class _Member:
    """A thread that serves."""

    def __init__(self) -> None:
        self.turn = threading.Lock()  # released when it is this one's turn to lead, or to go
        self.turn.acquire()
