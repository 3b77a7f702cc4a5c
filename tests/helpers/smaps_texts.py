"""Texts of smaps as kernels of each generation print them: made-up processes."""

from typing import NamedTuple

from hypothesis import strategies as st

from tests.helpers.entries import record
from untorn.maps.entry import MapsEntry

_4_14 = (
    *("Size", "KernelPageSize", "MMUPageSize", "Rss", "Pss", "Shared_Clean", "Shared_Dirty"),
    *("Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "LazyFree", "AnonHugePages"),
    *("ShmemPmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked"),
)


def _with(fields: tuple[str, ...], name: str, after: str) -> tuple[str, ...]:
    at = fields.index(after) + 1
    return *fields[:at], name, *fields[at:]


_5_4 = _with(_4_14, "FilePmdMapped", "ShmemPmdMapped")
_6_0 = _with(_5_4, "Pss_Dirty", "Pss")
_6_12 = _with(_6_0, "KSM", "Anonymous")


class Generation(NamedTuple):
    """What the kernels of some releases print."""

    fields: tuple[str, ...]
    """Fields in kB, in their order."""
    thp_eligible: bytes | None
    """The line THPeligible as a format; None if there is none."""


GENERATIONS = {
    "4.14": Generation(_4_14, None),
    "5.0": Generation(_4_14, b"THPeligible:    %d\n"),
    "5.4": Generation(_5_4, b"THPeligible:    %d\n"),
    "6.0": Generation(_6_0, b"THPeligible:    %d\n"),
    "6.12": Generation(_6_12, b"THPeligible:    %8d\n"),
}
"""By one release of each generation."""


class Record(NamedTuple):
    """A record as it should be read."""

    entry: MapsEntry
    numbers: dict[str, int]
    """In bytes; also THPeligible and ProtectionKey."""
    flags: tuple[str, ...]


def field(name: str, kilobytes: int) -> bytes:
    return b"%-16s%8d kB\n" % (name.encode() + b":", kilobytes)


def printed(one: Record, generation: Generation) -> bytes:
    """Return a record as these kernels print it."""
    text = one.entry.line()
    text += b"".join(field(name, one.numbers[name] >> 10) for name in generation.fields)
    if generation.thp_eligible:
        text += generation.thp_eligible % one.numbers["THPeligible"]
    if "ProtectionKey" in one.numbers:
        text += b"ProtectionKey:  %8d\n" % one.numbers["ProtectionKey"]
    return text + b"VmFlags: %s\n" % b"".join(each.encode() + b" " for each in one.flags)


_KILOBYTES = st.one_of(
    st.just(0),
    st.sampled_from([4, 99_999_999, 100_000_000, 137_438_953_468]),
    st.integers(0, 10**12),
)
_NAMES = st.sampled_from([b"", b"[heap]", b"/lib/x y.so", b"/tmp/Rss: 4 kB", b"/a\nRss: 4 kB"])
_FLAGS = st.lists(st.sampled_from(["rd", "wr", "mr", "ac", "sd", "zz"])).map(tuple)


@st.composite
def smaps(draw: st.DrawFn) -> tuple[list[Record], bytes]:
    """Draw records of one process and generation, and their text."""
    generation = draw(st.sampled_from(list(GENERATIONS.values())))
    has_keys = draw(st.booleans())
    found = []
    for page in range(draw(st.integers(1, 12))):
        start = 0x5555_0000_0000 + 0x2000 * page
        name = draw(_NAMES)
        inode = 7 if name.startswith(b"/") else 0
        numbers = {field: draw(_KILOBYTES) << 10 for field in generation.fields}
        if generation.thp_eligible:
            numbers["THPeligible"] = draw(st.integers(0, 1))
        if has_keys:
            numbers["ProtectionKey"] = draw(st.integers(0, 15))
        entry = record(start, start + 0x1000, inode=inode, name=name)
        found.append(Record(entry, numbers, draw(_FLAGS)))
    return found, b"".join(printed(each, generation) for each in found)
