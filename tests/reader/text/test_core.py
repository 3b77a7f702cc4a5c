"""The map in a core file: what its headers and notes say, and nothing made up."""

import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.core_files import Form, core
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import NO_DEVICE, Permissions
from untorn.reader.snapshot import Snapshot

PAGE = 4096
FORMS = [Form(bits, order) for bits in (32, 64) for order in "<>"]


def entry(
    start: int, end: int, permissions: bytes = b"rw-p", offset: int = 0, name: bytes = b""
) -> MapsEntry:
    """Convert pages to an entry."""
    return MapsEntry(
        start * PAGE, end * PAGE, Permissions.parse(permissions), offset * PAGE, NO_DEVICE, 0, name
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "core"


def read(path: Path, data: bytes) -> Snapshot:
    path.write_bytes(data)
    return Snapshot.from_core(path)


PERMISSIONS = st.sampled_from([b"r--p", b"rw-p", b"r-xp", b"---p", b"rwxp", b"-w-p"])


@st.composite
def maps(draw: st.DrawFn) -> list[MapsEntry]:
    edges = sorted(draw(st.sets(st.integers(1, 0xFFFFE), max_size=12)))
    kept = [(low, high) for low, high in pairwise(edges) if draw(st.booleans())]
    names = st.sampled_from([b"", b"/lib/c.so", b"/tmp/\xff (deleted)"])
    made = []
    for low, high in kept:
        name = draw(names)
        offset = draw(st.integers(0, 100)) if name else 0
        made.append(entry(low, high, draw(PERMISSIONS), offset, name))
    return made


@given(maps(), st.sampled_from(FORMS), st.sampled_from([1, PAGE]), st.booleans())
def test_the_map_of_a_core_file_is_what_it_was_written_from(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[MapsEntry],
    form: Form,
    page_size: int,
    extended: bool,
) -> None:
    files = [each for each in entries if each.name]
    data = core(entries, files, form, page_size=page_size, extended=extended)
    assert list(read(tmp_path_factory.getbasetemp() / "core", data)) == entries


def test_ranges_are_cut_where_a_header_or_a_file_ends(path: Path) -> None:
    loads = [entry(1, 3), entry(3, 6, b"r--p"), entry(9, 10)]
    files = [entry(2, 5, offset=7, name=b"/a"), entry(7, 8, offset=1, name=b"/b")]
    assert list(read(path, core(loads, files))) == [
        entry(1, 2),
        entry(2, 3, b"rw-p", 7, b"/a"),
        entry(3, 5, b"r--p", 8, b"/a"),
        entry(5, 6, b"r--p"),
        entry(7, 8, b"---p", 1, b"/b"),
        entry(9, 10),
    ]


def test_what_a_core_file_does_not_tell_is_told(path: Path) -> None:
    loads, files = [entry(1, 2), entry(3, 4)], [entry(3, 5, name=b"/a")]
    told = list(map(str, read(path, core(loads, files)).leniencies))
    assert told == [
        "a core file has no device and no inode; Linux prints both: 00:00 0 stands for them"
        " (3 ranges)",
        "a core file has no shared and private; Linux prints p or s: p stands for both (3 ranges)",
        "a core file has no [heap], [stack] and the like; Linux prints them",
        "a core file has no permissions of what it did not save; Linux prints them:"
        " ---p stands for them",
    ]
    without = read(path, core(loads, None))
    assert any("there is no note NT_FILE" in str(each) for each in without.leniencies)
    assert list(without) == loads


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (core([], [], type_=2), "an ELF file, but not a core file"),
        (b"\x7fELF", "a broken core file"),
        (b"hello", "a broken core file"),
        (b"", "a broken core file"),
        (core([entry(1, 2)] * 3, [])[:100], "a broken core file"),
        (core([entry(1, 4), entry(3, 5)], []), "two ranges have the address 3000"),
        (core([], [entry(1, 4, name=b"/a"), entry(1, 4, name=b"/b")]), "two ranges have the addr"),
        (core([], [entry(4, 1, name=b"/a")]), "it has a range 4000-1000"),
    ],
)
def test_what_is_no_core_file_is_refused(path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(path, data)


@given(st.sampled_from(FORMS), st.data())
def test_a_damaged_core_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, form: Form, data: st.DataObject
) -> None:
    whole = bytearray(core([entry(1, 3), entry(5, 6)], [entry(5, 6, name=b"/a")], form))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = read(tmp_path_factory.getbasetemp() / "damaged", bytes(whole))
    except ValueError:
        return
    assert (taken.start < taken.end).all()
    assert (taken.end[:-1] <= taken.start[1:]).all()


@pytest.fixture
def child(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that may leave a core file in the directory of path."""
    command = "ulimit -c unlimited && exec sleep 100"
    with subprocess.Popen(["sh", "-c", command], cwd=path.parent) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_exec(pid: int) -> bytes:
    """Return the maps of the child once it sleeps in its final program."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat").read_text()
        if "(sleep) S" in status:
            return Path(f"/proc/{pid}/maps").read_bytes()
        time.sleep(0.01)
    pytest.skip("sh may not set ulimit -c here")


@pytest.mark.live
def test_a_core_file_of_linux_has_the_map_that_the_process_had(
    path: Path, child: subprocess.Popen[bytes]
) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern != "core":
        pytest.skip(f"core files go elsewhere: core_pattern is {pattern}")
    text = wait_for_exec(child.pid)
    child.send_signal(signal.SIGABRT)
    child.wait()
    found = list(path.parent.glob("core*"))
    if not found:
        pytest.skip("the kernel wrote no core file")
    assert list(Snapshot.from_core(found[0])) == [
        each._replace(
            permissions=each.permissions & ~Permissions.SHARED,
            device=NO_DEVICE,
            inode=0,
            name=each.name if each.has_file else b"",
        )
        for each in Snapshot.parse(text)
    ]
