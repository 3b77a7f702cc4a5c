"""Maps with devices, sockets and rings: calls that depend on their drivers are refused by name."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.engine import ANON, FIXED, RW, read_all, text_of
from tests.helpers.maps_texts import line
from untorn.errors import NotModelledError
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.mm import mman
from untorn.mm.calls.shm import ShmSegment
from untorn.mm.limits import Limits
from untorn.mm.mmap_lock import mmap_read_lock, mmap_read_unlock
from untorn.syscalls import Process

P = PAGE_SIZE
HUGE, DAX, SGX = 0x7F00_0000_0000, 0x7F10_0000_0000, 0x7F20_0000_0000
HUGE_DAX_SGX = b"""\
7f0000000000-7f0001400000 rw-p 00000000 00:10 1234                       /anon_hugepage (deleted)
7f1000000000-7f1000001000 rw-s 00000000 00:06 99                         /dev/dax0.0
7f2000000000-7f2000002000 rwxs 00000000 00:05 5                          /dev/sgx_enclave
"""
MAY_LOCK = Limits(cap_ipc_lock=True)
MOVE, MOVE_TO = mman.MREMAP_MAYMOVE, mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED


Call = tuple[str, tuple[int, int], tuple[Any, ...]]
"""The name of the method, the range, and the other arguments."""


def state(process: Process) -> tuple[object, ...]:
    """Return all that a call could have changed, except pages. No lock may be held."""
    mm = process.mm
    assert not mm.mmap_lock.is_locked()
    mmap_read_lock(mm)
    mm.check_invariants()
    vmas = [(start, end, vma, vma.vm_flags, vma.vm_refcnt.load()) for start, end, vma in mm.mm_mt]
    mmap_read_unlock(mm)
    return text_of(process), vmas, mm.brk, mm.def_flags, mm.total_vm, mm.locked_vm


@pytest.mark.parametrize(
    "name",
    [
        *(b"/dev/sgx_enclave", b"/dev/dri/card0", b"/dev/kvm (deleted)", b"socket:[77]"),
        *(b"anon_inode:[io_uring]", b"anon_inode:[perf_event]", b"protocol:[77]"),
        *(b"/sys/bus/pci/devices/0/resource0", b"/[aio] (deleted)", b"/dmabuf:x"),
    ],
)
def test_what_a_driver_decides_is_refused_with_call_range_and_file(name: bytes) -> None:
    text = line(0x7F00_0000_0000, 2 * P, name, b"rw-s", minor=9, inode=5)
    process = Process.from_maps(text)
    with pytest.raises(NotModelledError) as caught:
        process.mprotect(0x7F00_0000_0000, P, mman.PROT_READ)
    assert str(caught.value).startswith(
        f"mprotect: 7f0000000000-7f0000002000 maps {name.decode()}, whose driver is not modelled"
    )
    assert text_of(process) == text


def test_maps_and_queries_show_a_drivers_mappings_as_they_are() -> None:
    process = Process.from_maps(HUGE_DAX_SGX)
    for reader in ("mmap_lock", "vma_lock", "rcu"):
        with process.open("maps", reader) as maps:
            assert read_all(maps) == HUGE_DAX_SGX
            assert (maps.query(DAX).entry.name, maps.query(DAX).page_size) == (b"/dev/dax0.0", P)
            assert (maps.query(SGX).entry.end, maps.query(HUGE).page_size) == (
                SGX + 2 * P,
                PMD_SIZE,
            )


def test_the_size_of_a_page_of_dax_is_not_made_up() -> None:
    text = line(DAX, PMD_SIZE, b"/dev/dax0.0", b"rw-s", minor=6, inode=99)
    process = Process.from_maps(text)
    with process.open() as maps:
        with pytest.raises(NotModelledError, match=r"^PROCMAP_QUERY: .*dax"):
            maps.query(DAX)
        assert read_all(maps) == text
    state(process)


def test_smaps_of_a_drivers_mapping_is_refused_and_lets_go_of_its_locks() -> None:
    process = Process.from_maps(HUGE_DAX_SGX)
    for reader in ("mmap_lock", "vma_lock"):
        for name in ("smaps", "smaps_rollup", "numa_maps"):
            with (
                process.open(name, reader) as file,
                pytest.raises(NotModelledError, match=rf"^{name}: .*dax0\.0"),
            ):
                read_all(file)
    state(process)
    process.munmap(DAX, P)
    process.munmap(SGX, 2 * P)
    assert text_of(process, "smaps").startswith(HUGE_DAX_SGX.split(b"\n")[0])


REFUSED: dict[str, Callable[[Process], object]] = {
    "mprotect": lambda p: p.mprotect(DAX, P, mman.PROT_READ),
    "mprotect to what it is": lambda p: p.mprotect(SGX, 2 * P, RW | mman.PROT_EXEC),
    "madvise": lambda p: p.madvise(SGX, P, mman.MADV_DONTFORK),
    "madvise under its lock": lambda p: p.madvise(SGX, P, mman.MADV_DONTNEED),
    "madvise past holes": lambda p: p.madvise(HUGE, 1 << 40, mman.MADV_COLD),
    "populate": lambda p: p.madvise(SGX, P, mman.MADV_POPULATE_READ),
    "mlock": lambda p: p.mlock2(DAX, P),
    "mlockall": lambda p: p.mlockall(mman.MCL_CURRENT | mman.MCL_FUTURE),
    "mseal of a part": lambda p: p.mseal(SGX, P),
    "munmap of a part": lambda p: p.munmap(SGX, P),
    "munmap that ends amid": lambda p: p.munmap(DAX, SGX + P - DAX),
    "mmap over a part": lambda p: p.mmap(SGX + P, 9 * P, RW, FIXED),
    "shmat over a part": lambda p: p.shmat(ShmSegment(P), SGX, 0o40000),
    "move": lambda p: p.mremap(DAX, P, P, MOVE_TO, 0x10000),
    "grow": lambda p: p.mremap(DAX, P, 2 * P, MOVE),
    "shrink": lambda p: p.mremap(SGX, 2 * P, P),
    "duplicate": lambda p: p.mremap(SGX, 0, 2 * P, MOVE),
    "move to its place": lambda p: p.mremap(HUGE, PMD_SIZE, PMD_SIZE, MOVE_TO, SGX),
    "read": lambda p: p.touch(SGX, write=False),
    "write": lambda p: p.touch(DAX, write=True),
    "fork": lambda p: p.fork(),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_call_leaves_everything_as_it_was(call: Callable[[Process], object]) -> None:
    process = Process.from_maps(HUGE_DAX_SGX, limits=MAY_LOCK)
    before = state(process)
    with pytest.raises(NotModelledError, match="maps /dev/"):
        call(process)
    assert state(process) == before


ANSWERED: dict[str, tuple[Callable[[Process], object], str]] = {
    "not aligned": (lambda p: p.mprotect(DAX + 1, P, RW), "Invalid argument"),
    "no such advice": (lambda p: p.madvise(DAX, P, 9999), "Invalid argument"),
    "a hole before it": (lambda p: p.mprotect(DAX - P, 2 * P, RW), "Cannot allocate memory"),
    "a hole before what is sealed": (lambda p: p.mseal(DAX - P, 2 * P), "Cannot allocate memory"),
    "in the way": (
        lambda p: p.mmap(DAX, P, RW, ANON | mman.MAP_FIXED_NOREPLACE),
        "File exists",
    ),
    "a length of 0": (lambda p: p.mremap(DAX, P, 0, MOVE), "Invalid argument"),
    "a name": (lambda p: p.set_anon_name(DAX, P, b"name"), "Bad file descriptor"),
    "no access": (lambda p: p.touch(DAX - P, write=False), "Bad address"),
    "a huge page": (lambda p: p.mprotect(HUGE + P, P, mman.PROT_READ), "Invalid argument"),
}


@pytest.mark.parametrize(("call", "error"), ANSWERED.values(), ids=ANSWERED.keys())
def test_what_linux_answers_before_it_asks_a_driver_is_answered(
    call: Callable[[Process], object], error: str
) -> None:
    process = Process.from_maps(HUGE_DAX_SGX)
    before = state(process)
    with pytest.raises(OSError, match=error):
        call(process)
    assert state(process) == before


def test_a_drivers_mapping_goes_only_as_a_whole_and_can_be_sealed_so() -> None:
    process = Process.from_maps(HUGE_DAX_SGX)
    process.munlock(DAX, P)
    process.mmap(DAX - P, 3 * P, RW, FIXED)
    process.mseal(SGX, 2 * P)
    for part in (P, 2 * P):
        with pytest.raises(PermissionError):
            process.munmap(SGX, part)
    assert b"/dev/dax" not in text_of(process)
    assert b"/dev/sgx" in text_of(process)
    state(process)


def test_a_process_without_its_devices_is_like_any_other() -> None:
    process = Process.from_maps(HUGE_DAX_SGX, limits=MAY_LOCK)
    process.munmap(DAX, SGX + 2 * P - DAX)
    process.mlockall(mman.MCL_CURRENT)
    assert text_of(process.fork()) == text_of(process) == HUGE_DAX_SGX.split(b"\n")[0] + b"\n"


BASE, PAGES = 0x7F00_0000_0000, 24
DEVICES = {4: 2, 6: 1, 12: 3}
"""The page numbers where devices begin, and their sizes in pages."""


def text(device: bytes) -> bytes:
    """Return maps of anonymous memory and a library, two devices side by side and one alone."""
    lines = [
        line(BASE, 4 * P, b""),
        line(BASE + 9 * P, 3 * P, b"/lib/x", b"r--p", major=8, inode=2),
    ]
    for first, pages in DEVICES.items():
        where = BASE + first * P, pages * P
        lines.append(line(*where, device, b"rw-s", minor=6, inode=first, offset=first * P))
    lines.append(line(BASE + 15 * P, 4 * P, b"", b"rw-p"))
    return b"".join(sorted(lines))


places = st.integers(0, PAGES).map(lambda page: BASE + page * P)
ranges = st.tuples(places, st.integers(0, 9).map(lambda pages: pages * P))
prots = st.sampled_from([mman.PROT_NONE, mman.PROT_READ, RW, RW | mman.PROT_EXEC])
advices = st.sampled_from([advice for name, advice in vars(mman).items() if name[:5] == "MADV_"])
calls = st.one_of(
    st.tuples(st.just("munmap"), ranges, st.just(())),
    st.tuples(st.just("mprotect"), ranges, st.tuples(prots)),
    st.tuples(st.just("madvise"), ranges, st.tuples(advices)),
    st.tuples(st.sampled_from(["mlock2", "munlock", "mseal"]), ranges, st.just(())),
    st.tuples(
        st.just("mmap"),
        ranges,
        st.tuples(prots, st.sampled_from([ANON, FIXED, FIXED | mman.MAP_POPULATE])),
    ),
    st.tuples(
        st.just("mremap"),
        ranges,
        st.tuples(ranges.map(lambda where: where[1]), st.sampled_from([0, MOVE, MOVE_TO]), places),
    ),
    st.tuples(st.just("set_anon_name"), ranges, st.tuples(st.sampled_from([b"name", None]))),
)


def outcome(process: Process, call: Call) -> object:
    name, where, arguments = call
    try:
        return getattr(process, name)(*where, *arguments)
    except OSError as error:
        return error.errno


def meets_device(process: Process, call: Call) -> bool:
    """Say whether a driver's mapping is in the range of a call, or where mremap moves to."""
    (start, length), arguments = call[1:]
    spans = [(start, start + length)]
    if call[0] == "mremap":
        spans = [(start, start + max(length, P)), (arguments[2], arguments[2] + arguments[0])]
    vmas = [(a, b) for a, b, vma in process.mm.mm_mt if vma.vm_ops is not None]
    return any(a < end and start < b for a, b in vmas for start, end in spans)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(script=st.lists(calls, max_size=12))
@example(script=[("mlock2", (BASE + 4 * P, 0), ())])
def test_a_call_does_what_it_does_among_plain_files_or_changes_nothing(script: list[Call]) -> None:
    process, plain = Process.from_maps(text(b"/dev/gpu0")), Process.from_maps(text(b"/lib/gpu0"))
    for call in script:
        before, meets = state(process), meets_device(process, call)
        try:
            result = outcome(process, call)
        except NotModelledError:
            assert meets
            assert state(process) == before
            continue
        assert result == outcome(plain, call)
        assert text_of(process).replace(b"/dev/gpu0", b"/lib/gpu0") == text_of(plain)
        assert state(process)[2:] == state(plain)[2:]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(script=st.lists(calls, max_size=12))
def test_no_call_changes_a_drivers_mapping_but_unmaps_all_of_it(script: list[Call]) -> None:
    process = Process.from_maps(text(b"/dev/gpu0"))
    whole = {each for each in text_of(process).splitlines() if b"/dev/gpu0" in each}
    for call in script:
        with suppress(NotModelledError):
            outcome(process, call)
        there = {each for each in text_of(process).splitlines() if b"/dev/gpu0" in each}
        assert there <= whole
        whole = there
