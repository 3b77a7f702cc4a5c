"""What backs VMAs, as far as it changes how their pages count."""

from tests.helpers.entries import record
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device
from untorn.maps.page import PAGE_SIZE, PMD_SIZE
from untorn.reader.files.mapped_file import MappedFiles
from untorn.reader.memory.facts import Backing, Facts, backing_of
from untorn.reader.text.columns import Columns

TMPFS, HUGETLBFS, DAX, DISK = ((0, minor) for minor in (1, 2, 3, 4))
SIZES = {HUGETLBFS: PMD_SIZE, DAX: PMD_SIZE}
TYPES = {TMPFS: "tmpfs", HUGETLBFS: "hugetlbfs", DAX: "devtmpfs", DISK: "ext4"}


class MadeUpFiles(MappedFiles):
    """Files on devices that are known here."""

    def __init__(self) -> None:
        super().__init__("", 0, "")

    def type_of(self, device: Device) -> str | None:
        return TYPES[device]

    def page_size_of(self, entry: MapsEntry) -> int:
        return SIZES.get(entry.device, PAGE_SIZE)


def backing(swap: int) -> Backing:
    columns = Columns.of_entries(
        [
            record(0, PMD_SIZE),
            record(PMD_SIZE, 2 * PMD_SIZE, device=DISK, inode=7, name=b"/file"),
            record(2 * PMD_SIZE, 3 * PMD_SIZE, device=HUGETLBFS, inode=7, name=b"/huge"),
            record(3 * PMD_SIZE, 4 * PMD_SIZE, device=DAX, inode=7, name=b"/dev/dax0.0"),
            record(4 * PMD_SIZE, 5 * PMD_SIZE, device=TMPFS, inode=7, name=b"/tmp/x"),
        ]
    )
    facts = Facts(resident=0, swapped=0, locked=0, swap=swap, ksm=False)
    return backing_of(columns, MadeUpFiles(), facts, devices=True)


def test_huge_pages_are_those_of_their_file_system_and_device_memory_is_in_rss() -> None:
    huge = [False, False, True, True, False]
    assert [size > PAGE_SIZE for size in backing(0).page_size.tolist()] == huge
    assert backing(0).hugetlb.tolist() == [False, False, True, False, False]


def test_only_shared_memory_leaves_no_trace_in_swap_and_only_if_there_is_any() -> None:
    assert backing(1 << 20).swappable.tolist() == [False, False, False, True, True]
    assert not backing(0).swappable.any()
    assert backing(0).device.tolist() == [False, False, False, True, False]
