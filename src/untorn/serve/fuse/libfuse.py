"""libfuse3's low-level API: its functions and structures under their own names.

mfusepy finds the library, and knows which release has which layout. It wraps the high-level API,
which has one timeout for all names, and wants each answer before it takes the next request.

Functions that wait, or that take a lock of a request, release the GIL. Those that answer keep it:
an answer is one write() that does not sleep. libfuse never calls our code with a lock held that an
answer takes, so no thread waits for the GIL with such a lock.

Source: libfuse's include/fuse_lowlevel.h.
"""

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_uint32,
    c_uint64,
    c_void_p,
)

os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")  # otherwise mfusepy prefers libfuse2
try:
    import mfusepy
except OSError as error:
    raise ImportError("there is no libfuse3; on Debian: apt install libfuse3-3") from error

fuse_file_info, c_stat, c_statvfs = mfusepy.fuse_file_info, mfusepy.c_stat, mfusepy.c_statvfs
_WAITING = mfusepy._libfuse
_AT_ONCE = ctypes.PyDLL(_WAITING._name)

FUSE_CAP_CACHE_SYMLINKS = 1 << 23
FUSE_IOCTL_DIR = 1 << 4
Request = c_void_p
_FileInfo = POINTER(fuse_file_info)


class fuse_args(Structure):
    """The arguments of a session."""

    _fields_ = (("argc", c_int), ("argv", POINTER(c_char_p)), ("allocated", c_int))


class fuse_buf(Structure):
    """The buffer of a request; the library allocates its memory."""

    _fields_ = (*mfusepy.fuse_buf._fields_, ("room_for_later_releases", c_uint64 * 8))


class fuse_ctx(Structure):
    """The caller of a request."""

    _fields_ = (("uid", c_uint32), ("gid", c_uint32), ("pid", c_int), ("umask", c_uint32))


class fuse_entry_param(Structure):
    """What a name means."""

    _fields_ = (
        ("ino", c_uint64),
        ("generation", c_uint64),
        ("attr", c_stat),
        ("attr_timeout", c_double),
        ("entry_timeout", c_double),
    )


INTERRUPT = CFUNCTYPE(None, Request, c_void_p)
_INIT = CFUNCTYPE(None, c_void_p, POINTER(mfusepy.fuse_conn_info))
_NODE = CFUNCTYPE(None, Request, c_uint64)
_NAME = CFUNCTYPE(None, Request, c_uint64, c_char_p)
_COUNT = CFUNCTYPE(None, Request, c_uint64, c_uint64)
_FILE = CFUNCTYPE(None, Request, c_uint64, _FileInfo)
_MASK = CFUNCTYPE(None, Request, c_uint64, c_int)
_READ = CFUNCTYPE(None, Request, c_uint64, c_size_t, c_int64, _FileInfo)
_IOCTL = CFUNCTYPE(
    *(None, Request, c_uint64, c_uint, c_void_p, _FileInfo, c_uint, c_void_p, c_size_t, c_size_t)
)
REFUSED = CFUNCTYPE(None, Request)
"""Signature of operations that we refuse, whatever their other arguments."""
PROTOTYPES = {
    "init": _INIT,
    "lookup": _NAME,
    "forget": _COUNT,
    "getattr": _FILE,
    "readlink": _NODE,
    "open": _FILE,
    "read": _READ,
    "release": _FILE,
    "opendir": _FILE,
    "readdir": _READ,
    "releasedir": _FILE,
    "statfs": _NODE,
    "access": _MASK,
    "ioctl": _IOCTL,
}
"""The operations that we answer, with their arguments."""
_ORDER = (
    *("init", "destroy", "lookup", "forget", "getattr", "setattr", "readlink", "mknod", "mkdir"),
    *("unlink", "rmdir", "symlink", "rename", "link", "open", "read", "write", "flush", "release"),
    *("fsync", "opendir", "readdir", "releasedir", "fsyncdir", "statfs", "setxattr", "getxattr"),
    *("listxattr", "removexattr", "access", "create", "getlk", "setlk", "bmap", "ioctl"),
)
"""Names of the operations, up to the last that we answer."""


class fuse_lowlevel_ops(Structure):
    """The functions that answer requests; the library refuses all others with ENOSYS."""

    _fields_ = tuple((name, PROTOTYPES.get(name, REFUSED)) for name in _ORDER)


def _function(
    library: ctypes.CDLL, name: str, result: type | None, *arguments: type
) -> "ctypes._NamedFuncPointer":
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


_Session = c_void_p
fuse_session_new = _function(
    _WAITING,
    "fuse_session_new",
    _Session,
    POINTER(fuse_args),
    POINTER(fuse_lowlevel_ops),
    c_size_t,
    c_void_p,
)
fuse_session_mount = _function(_WAITING, "fuse_session_mount", c_int, _Session, c_char_p)
fuse_session_receive_buf = _function(
    _WAITING, "fuse_session_receive_buf", c_int, _Session, POINTER(fuse_buf)
)
fuse_session_process_buf = _function(
    _WAITING, "fuse_session_process_buf", None, _Session, POINTER(fuse_buf)
)
fuse_session_destroy = _function(_WAITING, "fuse_session_destroy", None, _Session)
fuse_lowlevel_notify_inval_entry = _function(
    _WAITING,
    *("fuse_lowlevel_notify_inval_entry", c_int, _Session, c_uint64, c_char_p, c_size_t),
)
fuse_req_interrupt_func = _function(
    _WAITING, "fuse_req_interrupt_func", None, Request, INTERRUPT, c_void_p
)
fuse_req_ctx = _function(_AT_ONCE, "fuse_req_ctx", POINTER(fuse_ctx), Request)
fuse_reply_err = _function(_AT_ONCE, "fuse_reply_err", c_int, Request, c_int)
fuse_reply_none = _function(_AT_ONCE, "fuse_reply_none", None, Request)
fuse_reply_entry = _function(
    _AT_ONCE, "fuse_reply_entry", c_int, Request, POINTER(fuse_entry_param)
)
fuse_reply_attr = _function(_AT_ONCE, "fuse_reply_attr", c_int, Request, POINTER(c_stat), c_double)
fuse_reply_readlink = _function(_AT_ONCE, "fuse_reply_readlink", c_int, Request, c_char_p)
fuse_reply_open = _function(_AT_ONCE, "fuse_reply_open", c_int, Request, _FileInfo)
fuse_reply_buf = _function(_AT_ONCE, "fuse_reply_buf", c_int, Request, c_char_p, c_size_t)
fuse_reply_statfs = _function(_AT_ONCE, "fuse_reply_statfs", c_int, Request, POINTER(c_statvfs))
fuse_reply_ioctl = _function(
    _AT_ONCE, "fuse_reply_ioctl", c_int, Request, c_int, c_char_p, c_size_t
)
fuse_add_direntry = _function(
    _AT_ONCE,
    *("fuse_add_direntry", c_size_t, Request, c_void_p, c_size_t, c_char_p, POINTER(c_stat)),
    c_int64,
)
