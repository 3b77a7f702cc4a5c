"""What the kernel says of a VMA beyond its line, and why the rest is absent."""

import errno
import os
import re
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.tasks import wait_until
from tests.helpers.this_machine import MAY_OPEN_BY_MAPPING
from untorn.maps.pagemap import PAGE_IS_GUARD, PAGEMAP_SCAN, PmScanArg
from untorn.reader.access import pagemap
from untorn.reader.page_walk import page_ns, sizes_of, walk_ns

pytestmark = pytest.mark.live
PAGE = 4096
LONG = 3600.0
"""Seconds; no walk takes as long."""
MADV_DONTDUMP, MADV_GUARD_INSTALL = 16, 102


@pytest.fixture
def child() -> Iterator[Commanded]:
    with Commanded() as process:
        process.do("libc.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int")
        yield process


def smaps_of(child: Commanded, at: int) -> str:
    text = Path(f"/proc/{child.pid}/smaps").read_text()
    return re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text[text.index(f"{at:x}-") :])[0]


def details_of(child: Commanded, at: int) -> untorn.Details:
    with untorn.open_maps(child.pid) as maps:
        return maps.details(at, max_hold=LONG)


def test_flags_and_key_are_those_of_smaps(child: Commanded) -> None:
    for vma in untorn.snapshot(child.pid):
        record = smaps_of(child, vma.start)
        told = details_of(child, vma.start)
        flags = re.search(r"^VmFlags: (.*)$", record, re.MULTILINE)
        key = re.search(r"^ProtectionKey: *(\d+)$", record, re.MULTILINE)
        assert flags
        assert told.flags == tuple(flags[1].split())
        assert told.protection_key == (int(key[1]) if key else None)
        assert ("protection_key" in told.absent) == (key is None)


def test_memory_that_is_not_dumped_is_told(child: Commanded) -> None:
    at = child.hole(3)
    child.do("put(at, 3)")
    child.do(f"libc.madvise(at + 4096, 4096, {MADV_DONTDUMP})")
    for page, dumped in enumerate((True, False, True)):
        flags = details_of(child, at + page * PAGE).flags
        assert flags
        assert ("dd" not in flags) == dumped


def has_guards(child: Commanded) -> bool:
    return child.do(f"print(libc.madvise(at, 4096, {MADV_GUARD_INSTALL}))") == "0"


def test_guard_pages_are_told(child: Commanded) -> None:
    pages = 20_000  # more than one slice
    at = child.hole(pages)
    child.do(f"put(at, {pages})")
    if not has_guards(child):
        pytest.skip("this kernel has no guard pages (since 6.13)")
    ranges = [(0, 1), (3, 5), (8_190, 8_195), (19_999, 20_000)]
    for first, last in ranges[1:]:
        child.do(
            f"libc.madvise(at + {first * PAGE}, {(last - first) * PAGE}, {MADV_GUARD_INSTALL})"
        )
    told = details_of(child, at)
    if told.guards is None:
        pytest.skip(told.absent["guards"])
    assert told.guards == tuple((at + f * PAGE, at + last * PAGE) for f, last in ranges)


def test_more_guard_ranges_are_told_than_one_call_can(child: Commanded) -> None:
    count = 1_500
    at = child.hole(2 * count)
    child.do(f"put(at, {2 * count})")
    if not has_guards(child):
        pytest.skip("this kernel has no guard pages (since 6.13)")
    child.do(f"for n in range({count}): libc.madvise(at + (n << 13), 4096, {MADV_GUARD_INSTALL})")
    told = details_of(child, at)
    if told.guards is None:
        pytest.skip(told.absent["guards"])
    assert told.guards == tuple((at + (n << 13), at + (n << 13) + PAGE) for n in range(count))


def test_a_stack_is_that_of_the_thread_that_sleeps_on_it(child: Commanded) -> None:
    child.do("import threading; gate = threading.Event()")
    tid = int(child.do("t = threading.Thread(target=gate.wait); t.start(); print(t.native_id)"))
    syscall = Path(f"/proc/{child.pid}/task/{tid}/syscall")
    wait_until(lambda: len(syscall.read_text().split()) > 2, "the thread sleeps")
    pointer = int(syscall.read_text().split()[-2], 16)
    assert details_of(child, pointer).stack_of == (tid,)
    main = next(vma.start for vma in untorn.snapshot(child.pid) if vma.name == b"[stack]")
    assert details_of(child, main).stack_of == (child.pid,)


def test_a_large_reservation_costs_little(child: Commanded) -> None:
    size = 1 << 44
    at = int(child.do(f"print(libc.mmap(None, {size}, 0, ANON | 0x4000, -1, 0))"))  # MAP_NORESERVE
    if at >= 1 << 47:
        pytest.skip("no room for so much here")
    told = details_of(child, at)
    assert told.guards == () or "guards" in told.absent
    assert told.flags


def test_a_name_of_odd_bytes_is_no_harm(child: Commanded) -> None:
    child.do("libc.syscall(157, 15, b'\\xff')")  # prctl, PR_SET_NAME
    told = details_of(child, int(untorn.snapshot(child.pid).start[0]))
    assert told.flags


def test_smaps_is_not_read_if_that_could_take_too_long(child: Commanded) -> None:
    with untorn.open_maps(child.pid) as maps:
        told = maps.details(maps.query(0, next=True).entry.start, max_hold=1e-9)
    assert (told.flags, told.protection_key) == (None, None)
    reason = r"smaps could hold a lock of the process for [\d.]+ ms, more than 1e-06 ms"
    assert re.fullmatch(reason, told.absent["flags"])


def test_a_walk_takes_as_long_as_there_are_pages(child: Commanded) -> None:
    before = walk_ns(sizes_of(f"/proc/{child.pid}"))
    child.do("kept = bytearray(b'x') * (64 << 20)")
    assert walk_ns(sizes_of(f"/proc/{child.pid}")) > before + 10_000 * page_ns()
    assert 0 < page_ns() < 100_000


def test_where_the_kernel_does_not_tell_of_guards_it_is_said(
    child: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, request: int, question: bytearray) -> int:
        if request == PAGEMAP_SCAN and PmScanArg.unpack(question).category_mask & PAGE_IS_GUARD:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        answered: int = ioctl(fd, request, question)
        return answered

    monkeypatch.setattr(pagemap, "ioctl", refuse)
    at = int(untorn.snapshot(child.pid).start[0])
    told = details_of(child, at)
    assert told.guards is None
    assert told.absent["guards"] == "this kernel does not report it (since 6.16): Invalid argument"


def test_the_gate_is_found_from_the_kernels_half_on(child: Commanded) -> None:
    gate = untorn.snapshot(child.pid)[-1]
    if gate.name != b"[vsyscall]":
        pytest.skip("this kernel maps no [vsyscall]")
    for ioctl_too in True, False:
        with untorn.open_maps(child.pid, ioctl=ioctl_too) as maps:
            assert maps.query(gate.start).entry.name == gate.name
            assert maps.query(1 << 63, next=True).entry.start == gate.start
            with pytest.raises(FileNotFoundError):
                maps.query(gate.end)
            last = untorn.snapshot(child.pid)[-2]
            with pytest.raises(FileNotFoundError):  # like the ioctl
                maps.query(last.end, next=True)
            told = maps.details(gate.start, max_hold=LONG)
            assert (told.flags, told.guards) == (("ex",), ())


def test_an_address_counts_modulo_its_64_bits(child: Commanded) -> None:
    for ioctl_too in True, False:
        with untorn.open_maps(child.pid, ioctl=ioctl_too) as maps:
            first = maps.query(0, next=True)
            assert maps.query(first.entry.start - (1 << 64)) == first
            with pytest.raises(FileNotFoundError):
                maps.query(-1, next=True)


def test_a_name_longer_than_the_ioctl_can_tell_is_that_of_the_text(
    child: Commanded, tmp_path: Path
) -> None:
    child.do(f"os.chdir({str(tmp_path)!r})")
    child.do("for n in range(25): os.mkdir('d' * 200); os.chdir('d' * 200)")
    at = child.hole(8)
    child.do("fd = os.open('file', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 8 * 4096)")
    child.do("put(at, 8, 1, 1, fd)")
    name = os.fsencode(tmp_path) + (b"/" + b"d" * 200) * 25 + b"/file"
    assert len(name) > PAGE
    for ioctl_too in True, False:
        with untorn.open_maps(child.pid, ioctl=ioctl_too) as maps:
            vma = maps.query(at, build_id=True)
            entry = vma.entry
            assert (entry.start, entry.end, entry.name) == (at, at + 8 * PAGE, name)
            shared = untorn.Permissions.SHARED
            assert maps.query(0, next=True, permissions=shared).entry.name == name
            location = maps.locate(at + PAGE)
            assert location.offset == PAGE
            if MAY_OPEN_BY_MAPPING:
                path = b"/proc/%d/map_files/%x-%x" % (child.pid, entry.start, entry.end)
                assert location.path == path
            else:
                assert (location.path, "path" in location.absent) == (None, True)
    found = untorn.snapshot(child.pid).find(at)
    assert found
    assert found.name == name
