"""By which thread a memory is reached: the main one, or where that has ended, one that lives.

All threads of a process have one memory, until one of them changes the program: that ends all
others, and the one that did it becomes the main thread. So a thread other than the main one that
was there before and still is proves that the memory is the same.

Source: fs/exec.c:de_thread().
"""

from untorn.live.task import Thread, living_threads, place_of, status_of


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

    def change(self) -> bool:
        """Take a living thread of the same memory; return whether there is one."""
        main = status_of(place_of(self.pid, self.proc))
        if main is None or not main.leaving or (self.bound and self.thread is None):
            return False
        living = living_threads(self.pid, self.proc)
        fit = [each for each in living if each in self._known or not self.bound]
        for thread in fit:
            now = status_of(place_of(self.pid, self.proc, thread.tid))
            # It lives on after the others were listed: so these have its memory, too.
            if now and not now.leaving and now.start_time == thread.start_time:
                self.thread, self._known = thread.tid, living
                return True
        return False
