import ctypes
import errno
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.askers import opened
from tests.helpers.fuse_mount import mounted
from tests.helpers.nobody import as_root
from untorn.errors import os_error
from untorn.serve.caller.wants import Wants, wants
from untorn.serve.fuse.node import Attributes, Caller, Directory, Entry, Link, Node

TEXT = "the text of the link"
FOLLOWED = Wants.TARGET, Wants.UNKNOWN
COMPILE = "gcc", "-m32", "-static", "-nostdlib", "-fno-pie", "-no-pie", "-fno-stack-protector"
PROGRAM_OF_32_BITS = """
static int call(int number, int first, int second, int third)
{
    int result;
    asm volatile("int $0x80" : "=a"(result)
                 : "a"(number), "b"(first), "c"(second), "d"(third) : "memory");
    return result;
}

void _start(void)
{
    char text[256];
    int length = call(85, (int)LINK, (int)text, sizeof text);  /* readlink */
    call(4, 1, (int)text, length);                             /* write */
    call(1, call(33, (int)LINK "/inner", 0, 0), 0, 0);         /* exit, access */
}
"""


class Leading(Link):
    def __init__(self, target: bytes) -> None:
        self._target = target

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFLNK | 0o777, size=len(self._target))

    def target(self, caller: Caller) -> bytes:
        return self._target


class Root(Directory):
    """It has a link whose target is not the path that its text names."""

    def __init__(self, proc: int, place: Path) -> None:
        self._proc, self._place = proc, place

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFDIR | 0o755)

    def lookup(self, name: bytes, caller: Caller) -> Node:
        if name != b"link":
            raise os_error(errno.ENOENT)
        wanted = wants(self._proc, caller, name)
        return Leading(bytes(self._place) if wanted in FOLLOWED else TEXT.encode())

    def entries(self, caller: Caller) -> Sequence[Entry]:
        return [Entry(b"link", stat.S_IFLNK)]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Path]:
    """Yield the link, which leads to a directory with a dangling link `inner`."""
    place, directory = tmp_path / "place", tmp_path / "mounted"
    place.mkdir()
    directory.mkdir()
    (place / "file").touch()
    (place / "inner").symlink_to("file")
    with opened("/proc") as proc, mounted(Root(proc, place), directory):
        yield directory / "link"


def test_who_reads_the_link_gets_its_text(link: Path) -> None:
    assert str(link.readlink()) == TEXT
    with opened(str(link.parent)) as directory:
        assert os.readlink("link", dir_fd=directory) == TEXT
    itself = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    try:
        assert os.readlink("", dir_fd=itself) == TEXT
    finally:
        os.close(itself)


def test_who_goes_through_the_link_gets_there(link: Path) -> None:
    assert link.is_dir()
    assert sorted(each.name for each in link.iterdir()) == ["file", "inner"]
    assert (link / "inner").readlink() == Path("file")
    with pytest.raises(OSError, match="Invalid argument"):
        os.readlink(f"{link}/.")  # noqa: PTH115 -- a Path would drop the dot
    with opened(str(link)) as directory:
        assert os.readlink("inner", dir_fd=directory) == "file"


def test_a_link_on_the_way_is_followed_whatever_is_wanted_of_the_end(link: Path) -> None:
    file = os.open(link / "file", os.O_RDONLY | os.O_NOFOLLOW)
    os.close(file)
    assert stat.S_ISREG((link / "file").lstat().st_mode)
    assert stat.S_ISDIR(os.lstat(f"{link}/").st_mode)


def test_a_name_that_is_on_the_way_and_at_the_end_is_followed(link: Path) -> None:
    place = link.stat()
    (link / "link").mkdir()
    assert os.path.samestat((link / "link" / "..").lstat(), place)
    assert stat.S_ISDIR((link / "link").lstat().st_mode)
    (link / "link" / "link").symlink_to("text")
    assert (link / "link" / "link").readlink() == Path("text")


@as_root
def test_a_directory_of_the_same_name_in_the_callers_root_is_none_of_ours(tmp_path: Path) -> None:
    directory = tmp_path / "link" / "mounted"
    directory.mkdir(parents=True)
    read = "import os, sys; os.chroot(sys.argv[1]); print(os.readlink('/link/mounted/link'))"
    with opened("/proc") as proc, mounted(Root(proc, tmp_path), directory):
        command = [sys.executable, "-I", "-c", read, str(tmp_path)]
        assert subprocess.check_output(command, text=True).strip() == TEXT


def test_a_path_may_end_on_another_page_of_memory(link: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    path = os.fsencode(link)
    room = ctypes.create_string_buffer(3 * 4096)
    start = ctypes.addressof(room)
    addr = start + -start % 4096 + 4096 - len(path) // 2
    ctypes.memmove(addr, path + b"\0", len(path) + 1)
    text = ctypes.create_string_buffer(256)
    length = library.readlink(ctypes.c_void_p(addr), text, 256)
    assert text.raw[:length] == TEXT.encode()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="85 is creat on x86-64")
def test_who_creates_a_file_there_goes_through_the_link(link: Path) -> None:
    assert ctypes.CDLL(None, use_errno=True).syscall(85, os.fsencode(link), 0o600) == -1
    assert ctypes.get_errno() == errno.EISDIR


@pytest.mark.skipif(platform.machine() != "x86_64", reason="a program for x86")
@pytest.mark.skipif(not shutil.which("gcc"), reason="takes a compiler")
def test_a_32_bit_program_is_told_what_it_wants(link: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    compiled = subprocess.run(
        [*COMPILE, f'-DLINK="{link}"', "-x", "c", "-o", str(program), "-"],
        input=PROGRAM_OF_32_BITS,
        capture_output=True,
        text=True,
    )
    if compiled.returncode:
        pytest.skip(f"no compiler for 32 bits: {compiled.stderr}")
    try:
        done = subprocess.run([program], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"the kernel runs no 32-bit programs: {error}")
    assert (done.returncode, done.stdout) == (0, TEXT)


def test_who_wants_no_link_is_told_from_who_does_not_mind(tmp_path: Path) -> None:
    asked: list[Wants] = []

    class Asked(Root):
        def lookup(self, name: bytes, caller: Caller) -> Node:
            asked.append(wants(self._proc, caller, name))
            raise os_error(errno.ENOENT)

    def ask(call: Callable[[Path], object]) -> Wants:
        with suppress(FileNotFoundError):
            call(tmp_path / "link")
        return asked[-1]

    with opened("/proc") as proc, mounted(Asked(proc, tmp_path), tmp_path):
        assert ask(os.stat) is Wants.TARGET
        assert ask(os.lstat) is Wants.NODE
        assert ask(lambda path: os.open(path, os.O_RDONLY)) is Wants.TARGET
        assert ask(lambda path: os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) is Wants.NODE
        assert ask(lambda path: os.access(path, os.R_OK)) is Wants.TARGET
        assert ask(os.readlink) is Wants.TEXT
        assert ask(lambda path: (path / "inner").readlink()) is Wants.TARGET
        assert ask(os.chdir) is Wants.UNKNOWN


def test_a_thread_that_is_in_no_call_of_ours_wants_nothing_known() -> None:
    with opened("/proc") as proc:
        assert wants(proc, Caller(0, 0, 0), b"link") is Wants.UNKNOWN
        assert wants(proc, Caller(0, 0, os.getpid()), b"link") is Wants.UNKNOWN
