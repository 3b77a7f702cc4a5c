"""By which thread a memory is reached: the main one, or where that has ended, one that lives.

All threads of a process have one memory, until one of them changes the program: that ends all
others, gives up the memory, and the one that did it becomes the main thread. So it is still the
same memory if somebody still uses it, or if a thread other than the main one was there before and
still is.

Source: fs/exec.c:de_thread().
"""

import errno
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from untorn.errors import os_error
from untorn.reader.access.budget import Budget
from untorn.reader.access.gentle import open_maps_file
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.task import Thread, living_threads, no_map, place_of, status_of

T = TypeVar("T")
_MOST_THREADS = 100
"""Threads, one after the other, by which a look is made while they end."""


class Reach:
    """How to get at the memory of a process.

    Attributes:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted.
        thread: The thread by which it is reached; None for the main one.
        bound: Whether something was seen of the memory: then it must not be another one.
    """

    def __init__(self, pid: int, proc: str) -> None:
        self.pid, self.proc = pid, proc
        self.thread: int | None = None
        self.bound = False
        self._known: list[Thread] = []  # threads that had this memory once

    @property
    def place(self) -> str:
        """The directory of /proc whose maps, root and pagemap are those of the memory."""
        return place_of(self.pid, self.proc, self.thread)

    @property
    def task(self) -> int:
        """The number under proc that has its map_files."""
        return self.thread or self.pid

    def others(self) -> list[Thread]:
        """Return by which threads it can be reached instead; none if the main one has memory."""
        main = status_of(place_of(self.pid, self.proc))
        return living_threads(self.pid, self.proc) if main and main.leaving else []

    def proves(self, thread: Thread) -> bool:
        """Tell whether a thread that lives now is known to have had this memory before."""
        now = status_of(place_of(self.pid, self.proc, thread.tid))
        alive = now and not now.leaving and now.start_time == thread.start_time
        return bool(alive) and (not self.bound or thread in self._known)

    def change(self, thread: Thread, threads: list[Thread]) -> None:
        """Reach it by a thread that has this memory, as all of these have that live now."""
        self.thread, self._known = thread.tid, threads


class ReachedMaps:
    """The open maps file of one memory, opened again by another thread where one ends.

    Args:
        reach: How to get at the memory.
        gentle: As for open_maps_file().
        ioctl: Whether PROCMAP_QUERY may be used, if there is one.
        budget: As for open_maps_file().
    """

    def __init__(
        self, reach: Reach, gentle: bool | None, *, ioctl: bool, budget: Budget | None
    ) -> None:
        self.reach, self._gentle, self._ioctl, self._budget = reach, gentle, ioctl, budget
        self._file: LiveMapsFile | None = None

    def open(self) -> None:
        """Open it by the main thread. Raises OSError as LiveMapsFile."""
        self._file = self._open_by(None)

    @property
    def file(self) -> LiveMapsFile:
        """It, open. Raises OSError EBADF if it never was."""
        if self._file is None:
            raise os_error(errno.EBADF)
        return self._file

    def by_any_thread(self, look: Callable[[], T]) -> T:
        """Make a look, again by another thread if that by which the memory is reached ends.

        Raises:
            OSError: ESRCH, with the reason, if there is no memory any more; else as the look.
        """
        for _ in range(_MOST_THREADS):
            try:
                result = look()
            except ProcessLookupError:
                if not self._change_thread():
                    break
            else:
                self.reach.bound = True
                return result
        raise no_map(self.reach.pid, self.reach.proc)

    def check_thread(self) -> None:
        """Raise OSError ESRCH if the thread by which the memory is reached has ended.

        The ioctl goes on all the same, other files in its directory do not.
        """
        status = status_of(self.reach.place)
        if status is None or status.leaving:
            raise os_error(errno.ESRCH)

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def __repr__(self) -> str:
        return repr(self._file)

    def _open_by(self, thread: int | None) -> LiveMapsFile:
        pid, proc = self.reach.pid, self.reach.proc
        return open_maps_file(pid, "maps", proc, thread, gentle=self._gentle, budget=self._budget)

    def _change_thread(self) -> bool:
        """Open the file by another thread of the same memory; return whether there is one."""
        for _ in range(_MOST_THREADS):
            others = self.reach.others()
            if any(self._use_thread(thread, others) for thread in others):
                return True
            if not others:
                break
        return False

    def _use_thread(self, thread: Thread, others: list[Thread]) -> bool:
        try:
            file = self._open_by(thread.tid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        with ExitStack() as unused:
            unused.callback(file.close)
            # Asked after it was opened: so that is of the memory which is in use still.
            if not (self.reach.proves(thread) or self._is_in_use()):
                return False
            unused.pop_all()
        self.close()
        self._file = file
        self.reach.change(thread, others)
        return True

    def _is_in_use(self) -> bool:
        """Tell whether the memory of the file is: the ioctl knows, whatever thread has ended."""
        try:
            return self._ioctl and not self.file.find_query_refusal()
        except ProcessLookupError:
            return False
