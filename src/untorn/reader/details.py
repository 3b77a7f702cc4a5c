"""What the kernel says of a VMA beyond its line: flags, protection key, guards, whose stack.

Only smaps has flags and key. It walks the page tables of one VMA after the other, and holds a lock
of the process meanwhile. So it is read only if all page tables of the process can be walked within
the longest hold that is allowed: see page_walk.py.

Source: proc_pid_smaps(5), proc_pid_syscall(5).
"""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from untorn.errors import OutOfReachError, describe, os_error
from untorn.maps.entry import MapsEntry
from untorn.reader.access.gentle import open_maps_file
from untorn.reader.access.limit import check_time
from untorn.reader.access.live_maps_file import LiveMapsFile
from untorn.reader.access.reach import Reach
from untorn.reader.access.task import living_threads, status_of
from untorn.reader.page_walk import guard_ranges, sizes_of, walk_ns


@dataclass(frozen=True, slots=True)
class Details:
    """A field that is None is absent; `absent` says why, by the field's name."""

    flags: tuple[str, ...] | None = None
    """The two letters of each flag, as in smaps: "dd" is VM_DONTDUMP."""
    protection_key: int | None = None
    guards: tuple[tuple[int, int], ...] | None = None
    """Ranges of guard pages (MADV_GUARD_INSTALL), byte addresses, end exclusive."""
    stack_of: tuple[int, ...] | None = None
    """The threads whose stack pointer is in the VMA; only sleeping threads are seen."""
    absent: Mapping[str, str] = field(default_factory=dict)


def details_of(entry: MapsEntry, reach: Reach, max_hold: float) -> Details:
    """Return the details of a VMA. What would take too long is absent.

    Args:
        entry: The VMA.
        reach: How to reach the process.
        max_hold: Seconds that a lock of the process may be held.

    Raises:
        OSError: ESRCH if the thread through which we reach it has ended.
    """
    absent: dict[str, str] = {}
    flags = key = None
    with _absent(absent, reach, "flags", "protection_key"):
        with open_maps_file(reach.pid, "smaps", reach.proc, reach.thread) as smaps:
            flags, key = _flags_and_key(smaps, entry, reach.place, max_hold)
        if key is None:
            absent["protection_key"] = "this kernel or this processor has none"
    guards = stack_of = None
    with _absent(absent, reach, "guards"):
        guards = tuple(guard_ranges(entry, reach.place, max_hold))
    with _absent(absent, reach, "stack_of"):
        stack_of = tuple(_threads_on(entry, reach.pid, reach.proc))
    return Details(flags, key, guards, stack_of, absent)


@contextmanager
def _absent(absent: dict[str, str], reach: Reach, *names: str) -> Iterator[None]:
    """Record why these fields are absent, if reading them inside fails for that reason alone."""
    try:
        yield
    except (OSError, OutOfReachError) as error:
        status = status_of(reach.place)
        if status is None or status.leaving:
            raise os_error(errno.ESRCH) from error
        absent |= dict.fromkeys(names, describe(error))


def _flags_and_key(
    smaps: LiveMapsFile, entry: MapsEntry, place: str, max_hold: float
) -> tuple[tuple[str, ...] | None, int | None]:
    """Return the flags of a VMA, and its protection key if the kernel and processor have keys.

    Raises:
        OutOfReachError: The VMA is gone, or the read could hold a lock for too long.
        OSError: smaps cannot be read.
    """
    hold = walk_ns(sizes_of(place))
    if hold > max_hold * 1e9:
        raise OutOfReachError(
            f"smaps could hold a lock of the process for {hold / 1e6:.1f} ms, "
            f"more than {max_hold * 1e3:g} ms"
        )
    header = b"\n%08x-%08x " % (entry.start, entry.end)
    text = b"\n"
    for fill in smaps.fills():
        text += fill
        _, found, record = text.partition(header)
        if found and (flags := re.search(rb"\nVmFlags:([^\n]*)\n", record)):
            key = re.search(rb"\nProtectionKey: *(\d+)\n", record[: flags.start() + 1])
            return tuple(flags[1].decode().split()), int(key[1]) if key else None
        text = text if found else b"\n"
    raise OutOfReachError("the VMA changed, or smaps shows no flags of it")


def _threads_on(entry: MapsEntry, pid: int, proc: str) -> Iterator[int]:
    """Yield the threads whose stack pointer lies in a VMA.

    Raises:
        OutOfReachError: We may not look at them.
        OSError: ETIMEDOUT if there is no time left.
    """
    for tid, _ in living_threads(pid, proc):
        check_time(proc)
        try:
            words = Path(f"{proc}/{pid}/task/{tid}/syscall").read_bytes().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            raise OutOfReachError("it takes the right to trace the process") from None
        # "running" says nothing; else the last two words are stack pointer and program counter.
        if len(words) > 2 and entry.start <= int(words[-2], 16) < entry.end:
            yield tid
