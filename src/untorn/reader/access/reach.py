"""The thread through which a memory is reached: the main one, or if that has ended, a living one.

All threads of a process share one memory, until one of them changes the program. That ends all
other threads and drops the memory, and the thread becomes the main one. So the memory is still the
same if it is still in use, or if a thread other than the main one existed before and still does.

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
"""How many threads a look tries, one after the other, while they end."""


class Reach:
    """How to reach the memory of a process.

    Attributes:
        pid: The process, or a thread of it.
        proc: Where procfs is mounted.
        thread: The thread through which it is reached; None for the main one.
        bound: Whether any of the memory was seen: it must then stay the same memory.
    """

    def __init__(self, pid: int, proc: str) -> None:
        self.pid, self.proc = pid, proc
        self.thread: int | None = None
        self.bound = False
        self._known: list[Thread] = []  # threads that have had this memory

    @property
    def place(self) -> str:
        """The directory in /proc whose maps, root and pagemap are those of the memory."""
        return place_of(self.pid, self.proc, self.thread)

    @property
    def task(self) -> int:
        """The number, in proc, of the task that has its map_files."""
        return self.thread or self.pid

    def others(self) -> list[Thread]:
        """Return the threads through which else to reach it; none if the main one has memory."""
        main = status_of(place_of(self.pid, self.proc))
        return living_threads(self.pid, self.proc) if main and main.leaving else []

    def proves(self, thread: Thread) -> bool:
        """Return whether a living thread is known to have had this memory before."""
        now = status_of(place_of(self.pid, self.proc, thread.tid))
        alive = now and not now.leaving and now.start_time == thread.start_time
        return bool(alive) and (not self.bound or thread in self._known)

    def change(self, thread: Thread, threads: list[Thread]) -> None:
        """Reach it through a thread that has this memory, as all of these living ones do."""
        self.thread, self._known = thread.tid, threads


class ReachedMaps:
    """The open maps file of one memory; reopened through another thread if one ends.

    Args:
        reach: How to reach the memory of the process.
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
        """Open it through the main thread. Raises OSError as LiveMapsFile."""
        self._file = self._open_by(None)

    @property
    def file(self) -> LiveMapsFile:
        """The open file. Raises OSError EBADF if it was never opened."""
        if self._file is None:
            raise os_error(errno.EBADF)
        return self._file

    def by_any_thread(self, look: Callable[[], T]) -> T:
        """Make a look; repeat it through another thread if the one used so far ends.

        Raises:
            OSError: ESRCH, with the reason, if the memory is gone; else as the look.
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
        """Raise OSError ESRCH if the thread through which we reach the memory has ended.

        The ioctl works even then; other files in the thread's directory do not.
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
        """Open the file through another thread of the same memory; return whether there is one."""
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
            # Checked after opening: so the file is of the memory that is still in use.
            if not (self.reach.proves(thread) or self._is_in_use()):
                return False
            unused.pop_all()
        self.close()
        self._file = file
        self.reach.change(thread, others)
        return True

    def _is_in_use(self) -> bool:
        """Return whether the file's memory is still in use: the ioctl knows."""
        try:
            return self._ioctl and not self.file.find_query_refusal()
        except ProcessLookupError:
            return False
