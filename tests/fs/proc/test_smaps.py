"""/proc/PID/smaps and smaps_rollup of the engine: text, locks, and concurrent writers."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.engine import FIXED, RW, Pages, addr, read_all, text_of
from tests.helpers.smaps_records import ROLLUP_ONLY, records
from tests.helpers.tasks import Worker, background, wait_until
from untorn.fs.proc import smaps, smaps_rollup
from untorn.fs.proc.maps_locking import PAGE_WALK_LOCKINGS
from untorn.fs.proc.maps_locking.vma_lock import VmaLocking
from untorn.fs.proc.smaps_gather import MemSizeStats, smap_gather_stats
from untorn.fs.proc.smaps_text import vm_flags_text
from untorn.locking import lockdep
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct, Vma
from untorn.mm.mman import (
    MAP_POPULATE,
    MLOCK_ONFAULT,
    PROT_NONE,
    PROT_READ,
    VM_READ,
    VM_SEALED,
)
from untorn.releases.changes import LOCKONFAULT_SHOWN, SMAPS_KSM, THP_ELIGIBLE_WIDE
from untorn.releases.release import FIRST, LAST, Change
from untorn.syscalls import Process

READERS = sorted(PAGE_WALK_LOCKINGS)
every_reader = pytest.mark.parametrize("reader", READERS)
POPULATED = FIXED | MAP_POPULATE


@pytest.fixture
def process() -> Pages:
    process = Pages()
    for page in range(0, 60, 2):
        process.map(page, page + 1, RW, POPULATED)
    return process


@pytest.mark.live
@pytest.mark.parametrize("name", ["smaps", "smaps_rollup"])
def test_labels_units_and_widths_are_the_kernels(name: str, process: Pages) -> None:
    ours = read_all(process.open(name))
    first = ours[: ours.index(b"VmFlags")] if name == "smaps" else ours
    kernel = Path(f"/proc/self/{name}").read_bytes()
    theirs = kernel[: kernel.index(b"VmFlags")] if name == "smaps" else kernel
    labels = [line.split(b":")[0] for line in theirs.splitlines()[1:]]
    assert [line.split(b":")[0] for line in first.splitlines()[1:]] == [
        label for label in labels if label != b"ProtectionKey"
    ]
    assert {len(line) for line in first.splitlines()[1:]} <= {
        len(line) for line in theirs.splitlines()[1:]
    }


@pytest.mark.live
def test_the_gate_vma_is_the_last_record_as_the_kernel_prints_it() -> None:
    last = re.sub(rb"ProtectionKey:.*\n", b"", Path("/proc/self/smaps").read_bytes())
    if b"--xp 00000000 00:00 0                  [vsyscall]" not in last:
        pytest.skip("the kernel runs without vsyscall=xonly")
    ours = text_of(Process(MmStruct()), "smaps")
    assert last.endswith(ours)


def test_flags_are_printed_in_the_order_of_their_bits() -> None:
    assert vm_flags_text(VM_SEALED | VM_READ, LAST) == b"rd sl "


@pytest.mark.parametrize(
    ("change", "before", "since"),
    [
        (SMAPS_KSM, "", "KSM:                   0 kB"),
        (THP_ELIGIBLE_WIDE, "THPeligible:    0", "THPeligible:           0"),
        (LOCKONFAULT_SHOWN, "VmFlags: mr mw me lo ?? ", "VmFlags: mr mw me lo lf "),
    ],
)
def test_lines_by_release(change: Change, before: str, since: str) -> None:
    shown = []
    for release in (FIRST, change.since):
        process = Pages(release=release)
        process.map(0, 1, PROT_NONE)
        process.mlock2(addr(0), PAGE_SIZE, MLOCK_ONFAULT)
        lines = text_of(process, "smaps").decode().splitlines()
        label = since.partition(":")[0]
        shown.append("".join(line for line in lines if line.startswith(label)))
    assert shown == [before, since]


@every_reader
def test_every_vma_has_a_record_over_many_fills(reader: str, process: Pages) -> None:
    for size in (100, 4096, 1 << 16):
        text = b""
        with process.open("smaps", reader) as file:
            while chunk := file.read(size):
                text += chunk
        found = records(text)
        assert [record.kb("Rss") for record in found] == [4] * 30
        lines = b"".join(record.line for record in found)
        assert lines == text_of(process)


@every_reader
def test_rollup_adds_smaps_up(reader: str, process: Pages) -> None:
    found = records(text_of(process, "smaps", reader))
    (total,) = records(text_of(process, "smaps_rollup", reader))
    assert total.line.startswith(b"%08x-%08x ---p" % (addr(0), addr(59)))
    assert total.line.endswith(b" [rollup]\n")
    for name in set(total.fields) - set(ROLLUP_ONLY):
        assert total.kb(name) == sum(record.kb(name) for record in found)
    assert sum(total.kb(name) for name in ROLLUP_ONLY) == total.kb("Pss")


@every_reader
def test_rollup_of_nothing_is_zero(reader: str) -> None:
    (total,) = records(text_of(Pages(), "smaps_rollup", reader))
    assert total.line.startswith(b"00000000-00000000 ---p")
    assert total.kb("Rss") == 0


@every_reader
def test_no_lock_is_left_behind(reader: str, process: Pages) -> None:
    for file in process.open("smaps", reader), process.open("smaps_rollup", reader):
        file.read(50)
        lockdep.assert_nothing_held()
        read_all(file)
        lockdep.assert_nothing_held()
        assert not process.mm.mmap_lock.is_locked()
        file.close()
    assert {vma.vm_refcnt.load() for _, _, vma in process.mm.mm_mt} == {1}
    assert process.mm.mm_users.load() == process.mm.mm_count.load() == 1


@every_reader
def test_at_the_limit_of_readers_the_fill_goes_on_under_mmap_lock(
    reader: str, process: Pages
) -> None:
    count = process.vma(2).vm_refcnt
    count.store((1 << 30) - 1)
    for file in process.open("smaps", reader), process.open("smaps_rollup", reader):
        read_all(file)
        lockdep.assert_nothing_held()
    count.store(1)


def test_there_is_no_copy_of_a_page_table(process: Pages) -> None:
    with pytest.raises(ValueError, match=r"no reader rcu; readers: mmap_lock, vma_lock$"):
        process.open("smaps", "rcu")


def test_smaps_cannot_be_queried(process: Pages) -> None:
    for file in process.open("smaps"), process.open("smaps_rollup"):
        with pytest.raises(OSError, match="ioctl") as caught:
            file.query(addr(0))
        assert caught.value.errno == errno.ENOTTY


def test_a_zombie_has_an_empty_smaps_and_no_rollup(process: Pages) -> None:
    file, rollup = process.open("smaps"), process.open("smaps_rollup")
    process.exit()
    assert file.read(100) == process.open("smaps").read(100) == b""
    for attempt in lambda: process.open("smaps_rollup"), lambda: rollup.read(100):
        with pytest.raises(ProcessLookupError):
            attempt()


class Meanwhile:
    """Calls a function once, in the page walk of one VMA."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, page: int, act: Callable[[], None]) -> None:
        self.done = False

        def gather(mss: MemSizeStats, vma: Vma, start: int) -> None:
            smap_gather_stats(mss, vma, start)
            if vma.vm_start == addr(page) and not self.done:
                self.done = True
                act()

        for module in smaps, smaps_rollup:
            monkeypatch.setattr(module, "smap_gather_stats", gather)


def test_a_writer_changes_another_vma_while_one_is_walked(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1. The reader holds the lock of the VMA at page 4 and walks its pages.
    # 2. A writer unmaps page 6 and maps page 9: it need not wait.
    # 3. The reader goes on after page 4, and shows what is there now.
    def act() -> None:
        with background(lambda: process.unmap(6, 7)):
            pass
        with background(lambda: process.map(9, 10, PROT_READ)):
            pass

    meanwhile = Meanwhile(monkeypatch, 4, act)
    found = records(text_of(process, "smaps"))
    assert meanwhile.done
    starts = [int(record.line.split(b"-")[0], 16) for record in found]
    assert starts[:5] == [addr(page) for page in (0, 2, 4, 8, 9)]


def test_a_writer_of_the_vma_walked_waits(process: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. The reader walks the VMA at page 4; a writer wants to unmap it, and must wait.
    # 2. The reader goes on, and the writer gets the lock.
    workers: list[Worker[None]] = []

    def act() -> None:
        workers.append(Worker(lambda: process.munmap(addr(4), 4096)))
        wait_until(lambda: process.vma(4).vm_refcnt.load() > 2, "the writer's flag")
        assert not workers[0].done

    Meanwhile(monkeypatch, 4, act)
    found = records(text_of(process, "smaps"))
    workers[0].join()
    assert len(found) == 30, "shown as it was"
    assert len(records(text_of(process, "smaps"))) == 29


def test_the_walk_goes_on_from_the_end_of_the_vma_that_was_locked(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    # While the VMA at page 4 is walked, page 5 is mapped right after it, at the walk's position.
    # Its protection differs, so it does not merge; the writer would have to wait to let page 4 grow
    def act() -> None:
        with background(lambda: process.map(5, 6, PROT_READ)):
            pass

    Meanwhile(monkeypatch, 4, act)
    found = records(text_of(process, "smaps"))
    starts = [int(record.line.split(b"-")[0], 16) for record in found]
    assert starts[2:5] == [addr(4), addr(5), addr(6)]


def test_rollup_adds_of_a_vma_that_grew_only_the_rest(process: Pages) -> None:
    # 1. The reader has added the VMA at page 4 and releases everything.
    # 2. Page 5 is mapped: 4, 5 and 6 become one VMA, which begins below the reader's position.
    # 3. The reader adds it from page 5 on.
    class Grows(VmaLocking):
        """Lets the VMA at page 4 grow after it was added."""

        def give_way(self, addr: int) -> None:
            super().give_way(addr)
            if addr == behind:
                self.unlock_vma_range()
                process.map(5, 6, RW, POPULATED)
                self.lock_vma_range()
                self.vma_iter_set(addr)

    behind = addr(5)
    (total,) = records(smaps_rollup.rollup(Grows(process.mm), process.mm.release))
    assert total.kb("Rss") == 4 * 31, "pages 4 and 6 are counted once, 5 too"


def test_rollup_under_mmap_lock_gives_way_to_a_writer(
    process: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[Worker[None]] = []

    def act() -> None:
        workers.append(Worker(lambda: process.munmap(addr(20), 4096)))
        wait_until(process.mm.mmap_lock.is_contended, "the writer in the queue")

    Meanwhile(monkeypatch, 4, act)
    (total,) = records(text_of(process, "smaps_rollup", "mmap_lock"))
    workers[0].join()
    assert total.kb("Rss") == 4 * 29, "the writer came in before page 20 was reached"
