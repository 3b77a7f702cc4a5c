"""Results of looks at processes that do not exist."""

from untorn.serve.export.process_looks import Maps, Process, Seen, Sums


def process(pid: int, group: str = "group") -> Process:
    return Process(pid, start_time=pid, name=group.encode(), group=group)


def maps(time: float = 0, vmas: int = 1, deleted: int = 0) -> Maps:
    return Maps(time, vmas, deleted)


def sums(time: float = 0, size: int | None = 0, took: float = 0, hold_ns: int = 0) -> Sums:
    return Sums(time, size, size, size, size, hold_ns, took)


def seen(pid: int, group: str = "group", time: float = 0) -> Seen:
    return Seen(process(pid, group), maps(time), sums(time))


def large(pid: int, group: str = "group", time: float = 0, size: int = 1) -> Seen:
    return Seen(process(pid, group), maps(time), is_large=True, size=size)
