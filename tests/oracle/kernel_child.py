"""The child under test: it makes the system calls it is told to, and nothing else.

A line on its input is a JSON list of steps, made one right after the other; the line that it
writes back is the list of [value, errno]. It ends with its parent, or at the end of its input.
"""

import ctypes
import gc
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable

CALLS = {
    "read": 0,
    "write": 1,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "mremap": 25,
    "madvise": 28,
    "shmget": 29,
    "shmat": 30,
    "shmctl": 31,
    "shmdt": 67,
    "munlock": 150,
    "mlockall": 151,
    "munlockall": 152,
    "prctl": 157,
    "mlock2": 325,
    "mseal": 462,
}
"""Numbers of x86-64. Source: arch/x86/entry/syscalls/syscall_64.tbl."""
PR_SET_PDEATHSIG = 1
ADDR_NO_RANDOMIZE = 0x0040000
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWNS = 0x20000
MS_NOEXEC, MS_REC, MS_PRIVATE = 8, 0x4000, 0x40000
PAGE_SIZE = 4096
LIMITS = {
    n: resource.getrlimit(getattr(resource, f"RLIMIT_{n}")) for n in ("AS", "DATA", "MEMLOCK")
}

MADV_COLLAPSE = 25
HUGE_PAGE = 1 << 21
ZEROS = os.open("/dev/zero", os.O_RDONLY)
SINK = os.memfd_create("sink")
huge: mmap.mmap | None = None  # memory that could hold a huge page, once drain() needs it

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mount.argtypes = *[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p
Result = list[int]
"""The value of a call and its errno, as the parent gets them."""


def system_call(name: str, *arguments: int) -> Result:
    """Pass the arguments as they are, each in a whole register."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(CALLS[name]), *map(ctypes.c_ulong, arguments))
    return [value, ctypes.get_errno() if value == -1 else 0]


def set_soft_limit(name: str, soft: int | None) -> Result:
    """Change one soft limit, in bytes; None for what it was at first."""
    first, hard = LIMITS[name]
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (first if soft is None else soft, hard))
    return [0, 0]


def set_effective(capability: int, on: bool) -> Result:
    """Take a capability out of the effective set, or back in; the permitted set stays."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # twice: effective, permitted, inheritable
    assert libc.capget(header, data) == 0
    word, bit = divmod(capability, 32)
    data[3 * word] = data[3 * word] & ~(1 << bit) | int(on) << bit
    assert libc.capset(header, data) == 0
    return [0, 0]


def open_file(path: str, flags: int) -> Result:
    """Open a file; the value is its descriptor."""
    return [os.open(path, flags), 0]


def new_memfd(name: str, flags: int = os.MFD_CLOEXEC) -> Result:
    """Make a file that lives in memory; the value is its descriptor."""
    return [os.memfd_create(name, flags), 0]


def truncate(fd: int, length: int) -> Result:
    """Give a file this many bytes."""
    os.truncate(fd, length)
    return [0, 0]


def touch(addr: int, write: bool) -> Result:
    """Write or read one byte there; a fault that would be a signal gives EFAULT."""
    if write:
        return system_call("read", ZEROS, addr, 1)
    os.lseek(SINK, 0, os.SEEK_SET)
    return system_call("write", SINK, addr, 1)


def drain() -> Result:
    """Have the kernel give up all the batches of pages that its CPUs keep, which smaps shows.

    It does so before it finds nothing to be collapsed in less than a huge page.
    """
    global huge
    if huge is None:
        huge = mmap.mmap(-1, 2 * HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        huge[0] = 1
    where = ctypes.addressof(ctypes.c_char.from_buffer(huge))
    return system_call("madvise", where + -where % HUGE_PAGE, PAGE_SIZE, MADV_COLLAPSE)


def mount_noexec(directory: str) -> Result:
    """Mount an empty tmpfs that only this process sees, and nothing on which is executed."""
    target = os.fsencode(directory)
    done = (
        libc.unshare(CLONE_NEWNS) == 0
        and libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
        and libc.mount(b"tmpfs", target, b"tmpfs", MS_NOEXEC, None) == 0
    )
    return [0, 0 if done else ctypes.get_errno()]


def fork() -> Result:
    """Start a copy of this process that does nothing; the value is its pid."""
    pid = os.fork()
    if pid == 0:
        stay_with_parent(os.getppid())
        signal.pause()
    return [pid, 0]


def end(pid: int) -> Result:
    """End a copy, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return [0, 0]


def alternate(start: int, pages: int, prot: int) -> Result:
    """Give every second page another protection until that fails; the value is how often."""
    for done, page in enumerate(range(1, pages, 2)):
        error = system_call("mprotect", start + page * PAGE_SIZE, PAGE_SIZE, prot)[1]
        if error:
            return [done, error]
    return [pages // 2, 0]


def stay_with_parent(parent: int) -> None:
    """Be killed when the parent ends; go at once if that has happened already."""
    system_call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def without_randomization() -> None:
    """Start over with the layout that setarch -R gives, unless that is so already."""
    now = libc.personality(0xFFFF_FFFF)
    if now == -1 or not now & ADDR_NO_RANDOMIZE:
        if libc.personality(ADDR_NO_RANDOMIZE) == -1:
            sys.exit(3)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main() -> None:
    stay_with_parent(int(sys.argv[1]))
    if "fixed-layout" in sys.argv:
        without_randomization()
    gc.disable()
    others: dict[str, Callable[..., Result]] = {
        "limit": set_soft_limit,
        "capability": set_effective,
        "open": open_file,
        "memfd": new_memfd,
        "truncate": truncate,
        "touch": touch,
        "mount_noexec": mount_noexec,
        "alternate": alternate,
        "drain": drain,
        "fork": fork,
        "end": end,
    }
    print("ready", flush=True)
    for line in sys.stdin:
        done = [
            others[name](*arguments) if name in others else system_call(name, *arguments)
            for name, *arguments in json.loads(line)
        ]
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
