"""Lines as kernels may write them, for property tests."""

from hypothesis import strategies as st

from tests.helpers.entries import record
from untorn.fs.proc.show_map import gate_line
from untorn.maps.entry import maps_line
from untorn.mm.mman import VM_EXEC

GATE_LINE = gate_line(VM_EXEC)
"""What a kernel with vsyscall=xonly, the default, prints."""
NAMES = st.one_of(
    st.just(b""),
    st.sampled_from([b"[heap]", b"[anon:a b]", b"/usr/lib/libc.so.6", b"/tmp/x (deleted)"]),
    st.binary(max_size=40).map(lambda rest: b"/" + rest),
)
ADDRESSES = st.integers(0, 20).flatmap(
    lambda magnitude: st.integers(0, (1 << 44 + magnitude) - 1).map(lambda number: number & ~0xFFF)
)
LAST_PAGE = (1 << 64) - 4096
"""Byte address: it is never mapped."""


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """One line with fields of any width; the name may be at any possible column."""
    start, end = sorted(draw(st.tuples(ADDRESSES, ADDRESSES)))
    line = maps_line(
        min(start, LAST_PAGE - 4096),
        min(end + 4096, LAST_PAGE),
        draw(st.integers(0, 15)),
        draw(st.sampled_from([0, 0x1000, (1 << 32) + 4096, (1 << 64) - 4096])),
        (
            draw(st.sampled_from([0, 8, 0xFD, 0xFFF])),
            draw(st.sampled_from([0, 1, 0x10, 0xFFFFF])),
        ),
        draw(st.sampled_from([0, 7, 123456, (1 << 64) - 1])),
        draw(NAMES),
    )
    return draw(st.sampled_from([line, _narrow(line)]))


def _narrow(line: bytes) -> bytes:
    """Put the name where a 32-bit kernel does, at column 49."""
    fields = line.rstrip(b"\n").split(b" ", 5)
    prefix, name = b" ".join(fields[:5]) + b" ", fields[5].lstrip(b" ")
    return b"%-48s %s\n" % (prefix, name) if name else prefix + b"\n"


TEXTS = st.lists(lines(), max_size=30).map(b"".join)


def line(
    start: int,
    size: int,
    name: bytes,
    permissions: bytes = b"rw-p",
    *,
    offset: int = 0,
    major: int = 0,
    minor: int = 0,
    inode: int = 0,
) -> bytes:
    """Return a line; a file's if it has an inode."""
    return record(start, start + size, permissions, offset, (major, minor), inode, name).line()


def huge(start: int, size: int, name: bytes, minor: int = 0x10, offset: int = 0) -> bytes:
    """Return a line that may belong to a hugetlbfs."""
    return line(start, size, name, b"rw-s", minor=minor, inode=7, offset=offset)
