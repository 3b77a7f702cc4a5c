"""Programs to be traced, as Python text: the name says what each does to its memory."""

import sys

LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
_C_POINTERS = "libc.shmat.restype = libc.mmap.restype = ctypes.c_void_p\n"
MAPS_IN_THREADS = """
import mmap, threading
def work():
    for _ in range(20):
        # Private: since 3.13 Python refuses to grow what is shared.
        with mmap.mmap(-1, 1 << 16, mmap.MAP_PRIVATE) as memory:
            memory[5] = 1
            memory.resize(1 << 18)
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
FORKS_TWICE = """
import mmap, os
before = mmap.mmap(-1, 1 << 14)
before[0] = 1
if (child := os.fork()) == 0:
    before[1] = 2
    mmap.mmap(-1, 1 << 14)[0] = 3
    if (grandchild := os.fork()) == 0:
        mmap.mmap(-1, 1 << 14)[0] = 4
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
before.close()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
BECOMES_NOBODY = """
import os
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.execv("/bin/true", ["true"])
"""
MAPS_A_FILE = "import mmap, sys; file = open(sys.argv[1], 'r+b'); mmap.mmap(file.fileno(), 4096)"
TRACED_ON_BTRFS = f"""
import subprocess, sys
from untorn.conform.program.run import run_program
with open("image", "wb") as image:
    image.truncate(128 << 20)
subprocess.run(["mkfs.btrfs", "-q", "image"], check=True)
os.mkdir("m")
mount("-o", "loop", "image", "m")
with open("m/file", "wb") as file:
    file.write(bytes(4096))
run = run_program([sys.executable, "-c", {MAPS_A_FILE!r}, "m/file"])
assert (len(run.mismatches), run.ending) == (0, 0)
"""
SPAWNS = """
import os, sys
pid = os.posix_spawn("/bin/true", ["true"], {})
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
EXECS_IN_A_THREAD = """
import os, threading, time
threading.Thread(target=lambda: os.execv("/bin/true", ["true"])).start()
time.sleep(100)
"""
IS_STOPPED_AND_TOLD = """
import os, signal
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
if (child := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(os.getppid(), signal.SIGUSR1)
    os._exit(0)
assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
os.kill(child, signal.SIGCONT)
os.waitpid(child, 0)
raise SystemExit(len(told))
"""
DIES_WITH_THREADS_IN_CALLS = """
import mmap, os, threading, time
def work():
    while True:
        mmap.mmap(-1, 1 << 16).close()
[threading.Thread(target=work, daemon=True).start() for _ in range(4)]
time.sleep(0.2)
os._exit(3)
"""
MAPS_BESIDE_ITS_PARENTS_PAGE = (
    LIBC
    + _C_POINTERS
    + """
import os
def map_page(addr):
    libc.mmap(ctypes.c_void_p(addr), 1 << 12, 3, 0x32, -1, 0)
map_page(0x10000000)
ctypes.memset(0x10000000, 1, 1)
if os.fork() == 0:
    map_page(0x10001000)
    os._exit(0)
os.wait()
"""
)
ATTACHES_A_SEGMENT = (
    LIBC
    + _C_POINTERS
    + """
segment = libc.shmget(0, 1 << 14, 0o1600)
addr = libc.shmat(segment, None, 0)
assert libc.shmctl(segment, 0, None) == 0
assert libc.shmdt(ctypes.c_void_p(addr)) == 0
"""
)
ATTACHES_AS_NOBODY = (
    LIBC
    + _C_POINTERS
    + """
import os
SHM_RDONLY, IPC_RMID = 0o10000, 0
segment = libc.shmget(0, 1 << 14, MODE)
if (child := os.fork()) == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    libc.shmat(segment, None, 0)
    libc.shmat(segment, None, SHM_RDONLY)
    os._exit(0)
os.waitpid(child, 0)
libc.shmctl(segment, IPC_RMID, None)
"""
)
REMAPS_FILE_PAGES = (
    LIBC
    + _C_POINTERS
    + """
addr = libc.mmap(None, 1 << 14, 3, 0x21, -1, 0)
libc.remap_file_pages(ctypes.c_void_p(addr), 1 << 12, 0, 2, 0)
libc.munmap(ctypes.c_void_p(addr), 1 << 14)
"""
)
FORKS_WITH_SECRET_MEMORY = (
    LIBC
    + _C_POINTERS
    + """
import os
fd = libc.syscall(447, 0)
if fd < 0:
    raise SystemExit(77)
os.ftruncate(fd, 1 << 12)
assert libc.mmap(None, 1 << 12, 3, 1, fd, 0) != ctypes.c_void_p(-1).value
if os.fork() == 0:
    libc.mmap(None, 1 << 12, 3, 0x22, -1, 0)
    os._exit(0)
os.wait()
"""
)
LETS_KSM_MERGE_ALL = (
    LIBC
    + _C_POINTERS
    + """
if libc.prctl(67, 1, 0, 0, 0) != 0:
    raise SystemExit(77)
libc.mmap(None, 1 << 12, 3, 0x22, -1, 0)
"""
)
_INT_80 = """
import ctypes, mmap, os
code = mmap.mmap(-1, 1 << 12, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3"))  # eax, ebx, ecx = edi, esi, edx
int_80 = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 3)(
    ctypes.addressof(ctypes.c_char.from_buffer(code))
)
"""
FORKS_BY_THE_CALL_OF_32_BITS = (
    _INT_80
    + """
if int_80(2, 0, 0) == 0:
    os._exit(3)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
)
MAPS_BY_THE_CALLS_OF_32_BITS = (
    LIBC
    + _C_POINTERS
    + _INT_80
    + """
MAP_PAGES, ADDR = 0x32, 0x10000000
assert libc.mmap(ctypes.c_void_p(ADDR), 1 << 13, 3, MAP_PAGES, -1, 0) == ADDR
assert int_80(150, ADDR, 1 << 12) == 0  # mlock
assert int_80(172, 0x53564d41, 0) < 0  # prctl(PR_SET_VMA)
assert int_80(91, ADDR, 1 << 13) == 0  # munmap
assert int_80(117, 22, 0) < 0  # ipc(SHMDT)
assert int_80(20, 0, 0) == os.getpid()
"""
)
WAITS_FOR_A_THREAD_THAT_MAPS = (
    LIBC
    + _C_POINTERS
    + """
import os, struct, threading
MADV_POPULATE_WRITE, PAGE, PAGES = 23, 1 << 12, 4
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
def ask(request, form, *fields):
    assert libc.ioctl(uffd, request, ctypes.create_string_buffer(struct.pack(form, *fields))) == 0
def map_pages(length):
    return libc.mmap(None, length, 3, 0x22, -1, 0)
def fill():
    for _ in range(PAGES):
        at = struct.unpack_from("Q", os.read(uffd, 32), 16)[0] & -PAGE
        page = map_pages(PAGE)
        ask(UFFDIO_COPY, "QQQQq", at, page, PAGE, 0, 0)
        libc.munmap(ctypes.c_void_p(page), PAGE)
uffd = libc.syscall(323, 0)
if uffd < 0:
    raise SystemExit(77)
ask(UFFDIO_API, "QQQ", 0xAA, 0, 0)
addr = map_pages(PAGES * PAGE)
ask(UFFDIO_REGISTER, "QQQQ", addr, PAGES * PAGE, 1, 0)
filling = threading.Thread(target=fill)
filling.start()
assert libc.madvise(ctypes.c_void_p(addr), PAGES * PAGE, MADV_POPULATE_WRITE) == 0
filling.join()
libc.munmap(ctypes.c_void_p(addr), PAGES * PAGE)
"""
)
LOWERS_A_LIMIT = """
import mmap, resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
try:
    mmap.mmap(-1, 1 << 31)
except (OSError, MemoryError):
    raise SystemExit(4)
"""
REFUSES_WRITE_AND_EXEC = (
    LIBC
    + """
import mmap, os
assert libc.prctl(65, 1, 0, 0, 0) == 0
if os.fork() == 0:
    try:
        mmap.mmap(-1, 1 << 14, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        os._exit(5)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
)
FIRST_THREAD_ENDS = (
    LIBC
    + """
import mmap, threading, time
def work():
    time.sleep(0.2)
    mmap.mmap(-1, 1 << 14)[0] = 1
    import os, resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mmap.mmap(-1, 1 << 14)[0] = 1
    os._exit(6)
threading.Thread(target=work).start()
libc.pthread_exit(None)
"""
)


def python(text: str) -> list[str]:
    """Return the command that runs a text, with as little else as possible."""
    return [sys.executable, "-I", "-S", "-c", text]
