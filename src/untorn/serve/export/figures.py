"""The figures of a group: sums over its processes, each only if all summands are known.

If something is unknown for one process, every sum that includes it is left out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from untorn.serve.export.process_looks import Seen, Sums


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The figures of a group; memory in bytes, times in seconds. None means unknown."""

    processes: int
    unknown_processes: int
    """Processes whose maps or memory are unknown."""
    resident: int | None
    proportional: int | None
    unique: int | None
    swapped: int | None
    deleted_files: int | None
    """Bytes mapped from them."""
    vmas: int | None
    process_vmas_max: int | None
    """VMAs of the process that has the most."""
    map_count: float | None
    """The same as a fraction of how many a process may have."""
    longest_hold: float | None
    """The longest in the last look at each process."""
    figures_age: float | None
    """Time since the earliest look in these figures."""


def by_group(seen: Iterable[Seen], most: int | None, now: float) -> dict[str, GroupFigures]:
    """Return the figures of each group that has processes.

    Args:
        seen: The processes.
        most: How many VMAs a process may have; None if that is unknown.
        now: Time by the monotonic clock.
    """
    groups: dict[str, list[Seen]] = {}
    for each in seen:
        groups.setdefault(each.process.group, []).append(each)
    return {group: _figures(groups[group], most, now) for group in sorted(groups)}


def _figures(members: Sequence[Seen], most: int | None, now: float) -> GroupFigures:
    maps = [each.maps for each in members if each.maps]
    sums = [each.sums for each in members if each.sums]
    times = [each.time for each in maps] + [each.time for each in sums]
    all_mapped = len(maps) == len(members)
    vmas_max = max(each.vmas for each in maps) if all_mapped else None

    def total(read: Callable[[Sums], int | None]) -> int | None:
        known = [value for each in sums if (value := read(each)) is not None]
        return sum(known) if len(known) == len(members) else None

    return GroupFigures(
        processes=len(members),
        unknown_processes=sum(not (each.maps and each.sums) for each in members),
        resident=total(lambda each: each.resident),
        proportional=total(lambda each: each.proportional),
        unique=total(lambda each: each.unique),
        swapped=total(lambda each: each.swapped),
        deleted_files=sum(each.deleted for each in maps) if all_mapped else None,
        vmas=sum(each.vmas for each in maps) if all_mapped else None,
        process_vmas_max=vmas_max,
        map_count=vmas_max / most if vmas_max is not None and most else None,
        longest_hold=max((each.longest_hold_ns / 1e9 for each in sums), default=None),
        figures_age=now - min(times) if times else None,
    )
