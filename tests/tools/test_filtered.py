"""Everything works without PROCMAP_QUERY under a system-call filter that forbids it."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

from tests.helpers.this_machine import asks
from untorn.maps.procmap_query import PROCMAP_QUERY

pytestmark = [
    pytest.mark.live,
    asks,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter knows x86-64 only"),
]

_FILTERED = """
import ctypes, os, struct, sys
number, refused = int(sys.argv[1]), int(sys.argv[2])
code = b"".join(struct.pack("=HBBI", *each) for each in [
    (0x20, 0, 0, 0),                       # load the number of the system call
    (0x15, 0, 3, 16),                      # ioctl?
    (0x20, 0, 0, 24),                      # load its request
    (0x15, 0, 1, refused),
    (0x06, 0, 0, 0x00050000 | number),     # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7FFF0000),              # SECCOMP_RET_ALLOW
])
buffer = ctypes.create_string_buffer(code)
program = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)                 # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, program, 0, 0):       # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    sys.exit(f"cannot filter: {os.strerror(ctypes.get_errno())}")
os.execv(sys.executable, [sys.executable, "-m", "untorn", *sys.argv[3:]])
"""


def filtered(number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", _FILTERED, str(number), str(PROCMAP_QUERY), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stderr.startswith("cannot filter"):
        pytest.skip(done.stderr.strip())
    return done


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ENOTTY])
def test_doctor_says_that_it_is_absent_and_why(number: int) -> None:
    done = filtered(number, "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    locking = {each["file"]: each for each in json.loads(done.stdout)["capabilities"]["locking"]}
    assert locking["PROCMAP_QUERY"]["lock"] == "absent"
    reason = (
        "has none"
        if number == errno.ENOTTY
        else f"a filter of system calls ({errno.errorcode[number]})"
    )
    assert reason in locking["PROCMAP_QUERY"]["evidence"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_the_reader_takes_the_text(number: int) -> None:
    pid = str(os.getpid())
    for command in (
        ("maps", pid),
        ("query", pid, "0", "--next", "--json", "--build-id", "--details"),
        ("stale",),
    ):
        done = filtered(number, *command)
        assert (done.returncode, done.stdout != "" or command == ("stale",)) == (0, True), (
            done.stderr
        )


def test_a_race_of_queries_is_skipped_with_its_reason() -> None:
    command = ["race", "--target", "live", "--test", "query-walk", "--duration", "0.2"]
    done = filtered(errno.EPERM, *command)
    reason = "no PROCMAP_QUERY on maps: refused by a filter of system calls (EPERM)"
    assert f"# SKIP {reason}" in done.stdout
    assert (done.returncode, done.stderr) == (1, f"{reason}\n")
