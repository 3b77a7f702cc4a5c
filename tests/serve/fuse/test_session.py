import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import mounted
from tests.helpers.tasks import wait_until
from untorn.errors import os_error
from untorn.serve.fuse.node import (
    Attributes,
    Caller,
    Directory,
    Entry,
    File,
    IoctlAnswer,
    Node,
    OpenFile,
)

HOLDING, NOT_HOLDING = 0xC0046611, 0xC0046612
TEXT = b"one line\nand another\n"


class Plain(File):
    def __init__(self, text: bytes = TEXT, mode: int = 0o444) -> None:
        self.text, self.mode = text, mode
        self.open_files, self.closed = 0, threading.Semaphore(0)

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFREG | self.mode)

    def open(self, flags: int, caller: Caller) -> OpenFile:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise os_error(errno.EACCES)
        self.open_files += 1
        return OpenPlain(self)


class OpenPlain(OpenFile):
    def __init__(self, file: Plain) -> None:
        self._file = file

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        return self._file.text[offset : offset + size]

    def close(self) -> None:
        self._file.open_files -= 1
        self._file.closed.release()


class Waiting(Plain):
    """A file from which nothing can be read until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_go_on = threading.Event(), threading.Event()
        self.is_there: list[bool] = []

    def open(self, flags: int, caller: Caller) -> OpenFile:
        self.open_files += 1
        return OpenWaiting(self)


class OpenWaiting(OpenPlain):
    def __init__(self, file: Waiting) -> None:
        super().__init__(file)
        self._waiting = file

    def is_slow(self, offset: int | None = None) -> bool:
        return True

    def read(self, size: int, offset: int, caller: Caller) -> bytes:
        self._wait()
        return super().read(size, offset, caller)

    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        if request == HOLDING:
            with caller.held():
                self._wait()
            return IoctlAnswer()
        self._wait()
        try:
            with caller.held():
                self._waiting.is_there.append(True)
        except InterruptedError:
            self._waiting.is_there.append(False)
            raise
        return IoctlAnswer()

    def _wait(self) -> None:
        self._waiting.asked.set()
        self._waiting.may_go_on.wait(60)


class Broken(Plain):
    def open(self, flags: int, caller: Caller) -> OpenFile:
        raise RuntimeError("a defect")


class Numbered(Plain):
    def open(self, flags: int, caller: Caller) -> OpenFile:
        return OpenNumbered(self)


class OpenNumbered(OpenPlain):
    def ioctl(self, request: int, argument: int, data: bytes, caller: Caller) -> IoctlAnswer:
        return IoctlAnswer(data[::-1], 7)


class Folder(Directory):
    keep = 0.0

    def __init__(self, nodes: Mapping[bytes, Node]) -> None:
        self.nodes: dict[bytes, Node] = dict(nodes)
        self.asked: list[bytes] = []

    def attributes(self) -> Attributes:
        return Attributes(stat.S_IFDIR | 0o555, nlink=2)

    def lookup(self, name: bytes, caller: Caller) -> Node:
        self.asked.append(name)
        if name not in self.nodes:
            raise os_error(errno.ENOENT)
        return self.nodes[name]

    def entries(self, caller: Caller) -> Sequence[Entry]:
        return [Entry(name, node.attributes().mode) for name, node in self.nodes.items()]


@pytest.fixture
def root() -> Folder:
    return Folder({b"file": Plain(), b"waiting": Waiting(), b"broken": Broken()})


@pytest.fixture
def place(root: Folder, tmp_path: Path) -> Iterator[Path]:
    with mounted(root, tmp_path) as directory:
        yield directory
        for node in root.nodes.values():
            if isinstance(node, Waiting):
                node.may_go_on.set()


def test_a_file_is_read_from_wherever_one_wants(place: Path) -> None:
    file = os.open(place / "file", os.O_RDONLY)
    try:
        assert os.read(file, 4) == TEXT[:4]
        assert os.read(file, 100) == TEXT[4:]
        assert os.read(file, 100) == b""
        assert os.pread(file, 3, 9) == TEXT[9:12]
        assert os.lseek(file, 2, os.SEEK_SET) == 2
        assert os.read(file, 2) == TEXT[2:4]
        assert os.fstat(file).st_size == 0
    finally:
        os.close(file)


def test_nobody_seeks_from_the_end_as_in_proc(place: Path) -> None:
    with (place / "file").open("rb", buffering=0) as file, pytest.raises(OSError, match="Invalid"):
        file.seek(0, os.SEEK_END)


def test_an_error_is_the_callers(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        (place / "no such file").read_bytes()
    with pytest.raises(PermissionError):
        (place / "file").open("r+b")
    with pytest.raises(OSError, match="Invalid argument"):
        (place / "file").readlink()
    with pytest.raises(NotADirectoryError):
        (place / "file" / "below").stat()


def test_what_nobody_can_do_in_proc_is_refused_as_there(place: Path) -> None:
    for make in (Path.touch, Path.mkdir, lambda path: path.symlink_to("x")):
        with pytest.raises(FileNotFoundError):
            make(place / "new")
    with pytest.raises(FileNotFoundError):
        (place / "file").rename(place / "new")
    for change in (Path.unlink, lambda path: path.chmod(0o777)):
        with pytest.raises(PermissionError):
            change(place / "file")


def test_a_defect_is_an_error_for_one_and_nothing_for_the_others(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        (place / "broken").read_bytes()
    assert "RuntimeError: a defect" in capfd.readouterr().err
    assert (place / "file").read_bytes() == TEXT


def test_numbers_stand_in_order_after_words_and_everything_is_listed(
    root: Folder, place: Path
) -> None:
    root.nodes = {b"%d" % number: Plain() for number in range(2000, 0, -1)}
    root.nodes[b"word"] = Plain()
    names = [path.name for path in place.iterdir()]
    assert names == ["word", *map(str, range(1, 2001))]


def test_a_directory_that_is_read_again_shows_what_is_in_it_then(root: Folder, place: Path) -> None:
    directory = os.open(place, os.O_RDONLY)
    try:
        before = set(os.listdir(directory))  # noqa: PTH208 (rewinds it each time)
        root.nodes[b"new"] = Plain()
        assert set(os.listdir(directory)) == {*before, "new"}  # noqa: PTH208
    finally:
        os.close(directory)


@pytest.mark.parametrize(("seconds", "times"), [(600, 1), (0, 3)])
def test_what_is_absent_is_asked_for_once_if_that_is_to_hold(
    seconds: float, times: int, root: Folder, place: Path
) -> None:
    root.keep_absent = seconds
    for _ in range(3):
        assert not (place / "absent").exists()
    assert root.asked.count(b"absent") == times


def test_a_directory_that_was_opened_long_ago_shows_what_is_in_it_now(
    root: Folder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untorn.serve.fuse.requests._JUST_NOW", 0)
    directory = os.open(place, os.O_RDONLY)
    try:
        root.nodes[b"new"] = Plain()
        assert "new" in os.listdir(directory)  # noqa: PTH208
    finally:
        os.close(directory)


def test_names_that_mean_nothing_any_more_are_forgotten(root: Folder, place: Path) -> None:
    gone = threading.Event()

    class Passing(Folder):
        keep = 0.1

        def forget(self) -> None:
            gone.set()

    root.nodes[b"77"] = Passing({})
    (place / "77").stat()
    del root.nodes[b"77"]
    assert place / "77" not in place.iterdir()
    assert gone.wait(60)


def test_what_is_slow_holds_up_nobody_else(root: Folder, place: Path) -> None:
    waiting = root.nodes[b"waiting"]
    assert isinstance(waiting, Waiting)
    found: list[bytes] = []
    slow = threading.Thread(target=lambda: found.append((place / "waiting").read_bytes()))
    slow.start()
    assert waiting.asked.wait(60)
    assert (place / "file").read_bytes() == TEXT
    waiting.may_go_on.set()
    slow.join(60)
    assert found == [TEXT]


def reader_of(path: Path, program: str = "") -> subprocess.Popen[bytes]:
    read = f"import os, signal\nfile = os.open({str(path)!r}, os.O_RDONLY)\n{program}\n"
    read += "print(os.read(file, 100))"
    return subprocess.Popen([sys.executable, "-c", read], stdout=subprocess.PIPE)


def test_who_is_killed_is_let_go(root: Folder, place: Path) -> None:
    waiting = root.nodes[b"waiting"]
    assert isinstance(waiting, Waiting)
    with reader_of(place / "waiting") as client:
        assert waiting.asked.wait(60)
        client.kill()
        assert client.wait(60) == -signal.SIGKILL
    assert not waiting.may_go_on.is_set()


def asking(request: int) -> str:
    return f"import fcntl\nfcntl.ioctl(file, {request}, bytearray(4))"


def test_who_is_killed_in_an_ioctl_is_let_go_and_cannot_be_held(root: Folder, place: Path) -> None:
    asked = root.nodes[b"waiting"]
    assert isinstance(asked, Waiting)
    with reader_of(place / "waiting", asking(NOT_HOLDING)) as client:
        assert asked.asked.wait(60)
        client.kill()
        assert client.wait(60) == -signal.SIGKILL
    asked.may_go_on.set()
    wait_until(lambda: asked.is_there)
    assert asked.is_there == [False]


def test_who_is_held_in_an_ioctl_is_there_until_it_is_done(root: Folder, place: Path) -> None:
    asked = root.nodes[b"waiting"]
    root.nodes[b"other"] = read = Waiting()
    assert isinstance(asked, Waiting)
    with (
        reader_of(place / "waiting", asking(HOLDING)) as client,
        reader_of(place / "other") as other,
    ):
        assert asked.asked.wait(60)
        assert read.asked.wait(60)
        client.kill()
        other.kill()
        assert other.wait(60) == -signal.SIGKILL  # which was let go after the first might have been
        assert client.poll() is None
        asked.may_go_on.set()
        assert client.wait(60) == -signal.SIGKILL


def test_who_gets_a_signal_and_goes_on_gets_its_answer(root: Folder, place: Path) -> None:
    waiting = root.nodes[b"waiting"]
    assert isinstance(waiting, Waiting)
    # Python would call read() again, so it is made by ctypes: an interrupted one shows as -1.
    program = (
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "import ctypes, threading\n"
        "room = ctypes.create_string_buffer(100)\n"
        "print(ctypes.CDLL(None).read(file, room, 100), flush=True)"
    )
    with reader_of(place / "waiting", program) as client:
        assert waiting.asked.wait(60)
        client.send_signal(signal.SIGUSR1)
        threading.Timer(0.2, waiting.may_go_on.set).start()
        out, _ = client.communicate(timeout=60)
    assert out.split(b"\n")[0] == b"%d" % len(TEXT)


def test_what_is_open_is_closed_once(root: Folder, place: Path) -> None:
    file = root.nodes[b"file"]
    assert isinstance(file, Plain)
    for _ in range(10):
        (place / "file").read_bytes()
    for _ in range(10):  # closing a file does not wait until the server has closed it
        assert file.closed.acquire(timeout=60)
    assert file.open_files == 0


def test_an_ioctl_has_data_and_a_value(root: Folder, place: Path) -> None:
    root.nodes[b"numbered"] = Numbered()
    both_ways = 3 << 30 | 4 << 16 | ord("f") << 8 | 17
    with (place / "numbered").open("rb") as file:
        data = bytearray(b"abcd")
        assert ioctl(file, both_ways, data) == 7
        assert data == b"dcba"
    with (place / "file").open("rb") as file, pytest.raises(OSError, match="Inappropriate ioctl"):
        ioctl(file, both_ways, bytearray(4))


def test_access_goes_by_the_mode(root: Folder, place: Path) -> None:
    root.nodes[b"secret"] = Plain(mode=0o400)
    assert os.access(place / "file", os.R_OK)
    assert not os.access(place / "file", os.X_OK)
    assert os.access(place / "secret", os.R_OK) is (os.geteuid() == 0)
