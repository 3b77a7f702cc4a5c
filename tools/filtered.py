"""Run a command under a system-call filter as strict as those of containers.

    python3 tools/filtered.py COMMAND [ARGUMENT]...

All that the command starts inherits the filter: see seccomp(2). x86-64 only.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

REFUSED = {
    "ptrace": 101,
    "personality": 135,
    "mount": 165,
    "umount2": 166,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "setns": 308,
    "process_vm_readv": 310,
    "kcmp": 312,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
}
"""Refused with EPERM. Numbers: arch/x86/entry/syscalls/syscall_64.tbl."""
NEWER_THAN_THE_FILTER = {"mseal": 462}
"""Refused with ENOSYS, as libseccomp does with calls newer than itself."""

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF, include/uapi/linux/bpf_common.h
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000


def program() -> bytes:
    """Return the filter: for each number, a comparison and its verdict."""
    outcomes = dict.fromkeys(REFUSED.values(), errno.EPERM)
    outcomes |= dict.fromkeys(NEWER_THAN_THE_FILTER.values(), errno.ENOSYS)
    steps = [(LOAD_WORD, 0, 0, 0)]
    for number, error in outcomes.items():
        steps += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, SECCOMP_RET_ERRNO | error)]
    steps.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def install(code: bytes) -> None:
    """Put this process, and all that it starts, under the filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = ctypes.c_int, *[ctypes.c_ulong] * 4
    instructions = ctypes.create_string_buffer(code, len(code))
    sock_fprog = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    program_ = ctypes.create_string_buffer(sock_fprog)
    no_new_privs = PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0
    filter_ = PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program_), 0, 0
    for arguments in no_new_privs, filter_:
        if libc.prctl(*arguments):
            sys.exit(f"filtered.py: prctl: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    if platform.machine() != "x86_64" or len(sys.argv) < 2:
        sys.exit("usage, on x86-64: filtered.py COMMAND [ARGUMENT]...")
    install(program())
    os.execvp(sys.argv[1], sys.argv[1:])
