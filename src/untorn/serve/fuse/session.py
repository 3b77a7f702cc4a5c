"""A session with the kernel: receive and answer requests, slow ones in other threads."""

import ctypes
import errno
import queue
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from untorn.errors import os_error
from untorn.serve.fuse import libfuse
from untorn.serve.fuse.answers import Answer, error
from untorn.serve.fuse.leader import Leadership
from untorn.serve.fuse.node import Caller, Directory
from untorn.serve.fuse.pending import Pending, PendingRequests
from untorn.serve.fuse.requests import Requests, Slow

T = TypeVar("T")
_Handler = Callable[..., Answer | Slow]
_REFUSALS = {
    **dict.fromkeys(("mknod", "mkdir", "symlink", "link", "rename", "create"), errno.ENOENT),
    **dict.fromkeys(("unlink", "rmdir", "setattr"), errno.EPERM),
}
"""Operations that are refused, with the error that they have in /proc (which lets root change some
attributes). Source: fs/proc/base.c:proc_setattr(), since Linux 7 proc_nochmod_setattr(), and
fs/namei.c for missing operations."""
_FOR_THE_LAST = 5.0
"""Seconds that requests under way have after the last one."""


class Session:
    """A mounted tree.

    Args:
        root: Root of the tree.
        fuse: Descriptor of /dev/fuse, already mounted; the session takes it over.
        proc: Where procfs is mounted.
        on_answer: Called after each request, in any thread.

    Raises:
        OSError: EIO if libfuse refuses the mount.
    """

    def __init__(
        self,
        root: Directory,
        fuse: int,
        *,
        proc: str = "/proc",
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self._gone: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._requests = Requests(root, lambda parent, name: self._gone.put((parent, name)))
        self._pending, self._on_answer = PendingRequests(proc), on_answer
        self._operations = self._make_operations()
        self._session = self._make_session(fuse)
        self._leadership: Leadership[libfuse.fuse_buf, Pending] = Leadership(self)

    def _make_operations(self) -> libfuse.fuse_lowlevel_ops:
        handlers: dict[str, Callable[..., None]] = {
            name: partial(self._handle, getattr(self._requests, name))
            for name in libfuse.PROTOTYPES
            if name not in ("init", "forget")
        }
        handlers |= {"init": self._begin, "forget": self._forget}
        made = {name: libfuse.PROTOTYPES[name](handler) for name, handler in handlers.items()}
        made |= {name: libfuse.REFUSED(_refuse(number)) for name, number in _REFUSALS.items()}
        return libfuse.fuse_lowlevel_ops(**made)

    def _make_session(self, fuse: int) -> int:
        arguments = libfuse.fuse_args(1, (ctypes.c_char_p * 2)(b"untorn", None), 0)
        size = ctypes.sizeof(self._operations)
        session: int | None = libfuse.fuse_session_new(arguments, self._operations, size, None)
        if not session:
            raise OSError(errno.EIO, "libfuse cannot make a session")
        if libfuse.fuse_session_mount(session, b"/dev/fd/%d" % fuse):
            libfuse.fuse_session_destroy(session)
            raise OSError(errno.EIO, "libfuse cannot take over the mount")
        return session

    def serve(self) -> None:
        """Serve until it is unmounted.

        Raises:
            OSError: EAGAIN if no thread can be started.
        """
        undertaker = threading.Thread(target=self._bury, name="untorn-undertaker", daemon=True)
        undertaker.start()
        try:
            self._leadership.serve()
        finally:
            self._gone.put(None)
            undertaker.join()
            # A thread that is stuck in the kernel still uses the session.
            if self._leadership.wait_for_all(_FOR_THE_LAST):
                libfuse.fuse_session_destroy(self._session)

    # What the leadership's threads do.

    def make_room(self) -> libfuse.fuse_buf:
        """Return a buffer for requests; libfuse allocates its memory, once."""
        return libfuse.fuse_buf()

    def receive(self, room: libfuse.fuse_buf) -> bool:
        """Wait for a request; False if there will be no more."""
        while True:
            size = libfuse.fuse_session_receive_buf(self._session, room)
            if size not in (-errno.EINTR, -errno.EAGAIN):
                return bool(size > 0)  # 0 once it is unmounted

    def answer(self, room: libfuse.fuse_buf) -> None:
        """Answer the request that was received."""
        libfuse.fuse_session_process_buf(self._session, room)
        self._on_answer()

    def on_stuck(self, work: Pending) -> None:
        """From now on let the caller of a request go if it is killed."""
        self._pending.watch(work)

    def _handle(self, handler: _Handler, request: int, *arguments: Any) -> None:
        """Answer a request. libfuse calls it in the leader."""
        told = libfuse.fuse_req_ctx(request).contents
        pending = Pending(request, told.pid)
        caller = Caller(told.uid, told.gid, told.pid, pending.held)
        may_work = self._leadership.works_on(pending, caller.uid)
        if may_work or handler == self._requests.release:  # closing is always possible
            answer = _attempt(lambda: handler(caller, *arguments))
        else:
            answer = error(errno.EAGAIN)
        if isinstance(answer, Slow):
            self._pending.watch(pending)
            answer = _attempt(partial(self._work, answer))
        pending.answer(answer)
        self._pending.forget(pending)

    def _work(self, slow: Slow) -> Answer:
        """Do what may have to wait, while another thread leads."""
        if not self._leadership.step_aside():
            raise os_error(errno.EAGAIN)
        return slow.work()

    def _begin(self, data: int | None, connection: Any) -> None:
        """Ask the kernel to remember targets of links."""
        told = connection.contents
        told.want |= told.capable & libfuse.FUSE_CAP_CACHE_SYMLINKS

    def _forget(self, request: int, number: int, times: int) -> None:
        libfuse.fuse_reply_none(request)
        self._requests.forgotten(number, times)

    def _bury(self) -> None:
        """Ask the kernel to forget names that mean nothing any more. The undertaker runs it.

        For this the kernel takes a lock, which a reader of the directory holds until we answer: so
        it needs a thread that answers nobody.
        """
        while (gone := self._gone.get()) is not None:
            parent, name = gone
            libfuse.fuse_lowlevel_notify_inval_entry(self._session, parent, name, len(name))


def _refuse(number: int) -> Callable[[int], object]:
    return lambda request: libfuse.fuse_reply_err(request, number)


def _attempt(work: Callable[[], T]) -> "T | Answer":
    """Return the result of work(), or the answer that it failed."""
    try:
        return work()
    except OSError as failed:
        return error(failed.errno or errno.EIO)
    except Exception:  # a defect of ours; others must still be served
        traceback.print_exc()
        return error(errno.EIO)
