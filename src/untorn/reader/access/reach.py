"""By which thread a memory is reached: the main one, or where that has ended, one that lives.

All threads of a process have one memory, until one of them changes the program: that ends all
others, gives up the memory, and the one that did it becomes the main thread. So it is still the
same memory if somebody still uses it, or if a thread other than the main one was there before and
still is.

Source: fs/exec.c:de_thread().
"""

from untorn.reader.access.task import Thread, living_threads, place_of, status_of


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
