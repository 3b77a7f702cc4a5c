"""One pass over a map, in each way to read it: whole fills, one record per fill, or queries.

Windows belong to fills (see judge/reading.py), so each way to read must know which call made which
fill. The clock is read right before and after each call.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice

from untorn.judge.lines import parse_lines
from untorn.judge.reading import Fill, Reading
from untorn.maps.maps_file import FILL_SIZE, MapsFile
from untorn.race.witness import Clock

RECORD_SIZE = 32
"""Bytes of a read() that makes a fill of one record: shorter than any line."""
Call = tuple[bytes, int, int]
"""What a read() returned, and the versions at its start and end."""


def read_calls(file: MapsFile, clock: Clock, size: int) -> Iterator[Call]:
    """Read the file from start to end; the last call returns nothing."""
    file.seek(0)
    text = b"-"
    while text:
        first = clock.begin()
        text = file.read(size)
        yield text, first, clock.end()


def read_fills(file: MapsFile, kind: str, clock: Clock, count: int | None = None) -> Reading:
    """Read a file of that kind fill by fill: all of it, or at most `count` fills.

    Raises:
        ValueError: A fill does not end with a line, or holds something else.
    """
    calls = islice(read_calls(file, clock, FILL_SIZE), count)
    fills = [Fill(parse_lines(_whole(text), kind), first, last) for text, first, last in calls]
    return Reading.of_text(fills) if count is None else Reading(fills)


def read_texts(file: MapsFile, count: int) -> tuple[bytes, ...]:
    """Read `count` fills and do nothing else, as the reader in a race must lose no time."""
    file.seek(0)
    return tuple([file.read(FILL_SIZE) for _ in range(count)])


def reading_of(texts: Iterable[bytes], kind: str, clock: Clock) -> Reading:
    """Return the reading that the first fills make; raises as read_fills()."""
    lines = [parse_lines(_whole(text), kind) for text in texts]
    return Reading([Fill(each, clock.begin(), clock.end()) for each in lines])


def _whole(text: bytes) -> bytes:
    if text and not text.endswith(b"\n"):
        raise ValueError(f"a read ends within a line: {text[-80:]!r}")
    return text


def read_records(file: MapsFile, kind: str, clock: Clock) -> Reading:
    """Read a file of that kind with one record per fill; raises as read_fills().

    A call makes a fill if the call before it returned the last byte of a record.
    """
    calls = list(read_calls(file, clock, RECORD_SIZE))
    text = b"".join(each for each, _, _ in calls)
    returned = list(accumulate(len(each) for each, _, _ in calls))
    fills: list[Fill] = []
    for start, end in _records(text):
        _, first, last = calls[bisect_left(returned, start)]
        fills.append(Fill(parse_lines(text[start:end], kind), first, last))
    return Reading.of_text([*fills, Fill((), *calls[-1][1:])])


def _records(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each record of a text begins and ends."""
    start = at = 0
    for line in text.splitlines(keepends=True):
        if at > start and b"-" in line.partition(b" ")[0]:
            yield start, at
            start = at
        at += len(line)
    if at:
        yield start, at


def walk(file: MapsFile, kind: str, clock: Clock) -> Reading:
    """Query the first VMA at or after 0, then the first at or after its end, and so on.

    Raises:
        OSError: ENOTTY if the file has no such ioctl.
    """
    fills: list[Fill] = []
    queries = file.walk()
    while not fills or fills[-1].lines:
        first = clock.begin()
        found = next(queries, None)
        fills.append(Fill((found.entry,) if found else (), first, clock.end()))
    return Reading.of_queries(fills)


WAYS: dict[str, Callable[[MapsFile, str, Clock], Reading]] = {
    "fills": read_fills,
    "records": read_records,
    "queries": walk,
}
