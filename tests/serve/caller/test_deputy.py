import os
from collections.abc import Iterator

import pytest

from tests.helpers.askers import Seen, Told, askers, opened
from tests.helpers.askers_program import FILES, outcome, told
from tests.helpers.nobody import as_root
from untorn.serve.caller.deputy import Deputy, Watched
from untorn.serve.fuse.node import Caller

pytestmark = [as_root, pytest.mark.live]

OTHER_NAMESPACE = {"container's root", "container's root less ptrace", "container's alice"}
STRICTER = {(asker, "container, a user") for asker in OTHER_NAMESPACE}
"""Where we refuse what the kernel allows: to users of a namespace that is not ours."""
REFUSED = {
    "Permission denied",
    "open; Permission denied",
    "open; 1 1 0 0 0 0 0 0 0 0 0",
}


@pytest.fixture(scope="module")
def proc() -> Iterator[int]:
    with opened("/proc") as folder:
        yield folder


@pytest.fixture(scope="module")
def told_by_askers(proc: int) -> Iterator[Told]:
    with askers(proc) as told:
        yield told


def seen_through(deputy: Deputy, proc: int, caller: Caller, pid: int) -> Seen:
    """What the deputy gets to see for a caller."""

    def read(name: str) -> str:
        file = deputy.open_as(caller, watched, name)
        try:
            text = outcome(lambda: told(name, deputy.read_as(caller, watched, file, 1 << 16, 0)))
        finally:
            os.close(file)
        return f"open; {text}"

    directory = os.open(str(pid), os.O_PATH, dir_fd=proc)
    try:
        watched = Watched(pid, directory)
        names = (name.format(pid=pid) for name in FILES)
        return {
            name: outcome(lambda path=path: read(path))  # type: ignore[misc]
            for name, path in zip(FILES, names, strict=True)
        }
    finally:
        os.close(directory)


def test_a_caller_sees_what_the_kernel_shows_it(proc: int, told_by_askers: Told) -> None:
    deputy, wrong = Deputy(proc), []
    for asker, asked in told_by_askers.asked.items():
        for name, pid in told_by_askers.shown.items():
            ours = seen_through(deputy, proc, asked.caller, pid)
            for file in FILES:
                kernels = asked.seen[0][name][file]
                if (asker, name) in STRICTER and ours[file] in REFUSED:
                    continue
                if ours[file] != kernels:
                    wrong.append(f"{asker} of {name}, {file}: {ours[file]}, not {kernels}")
    assert not wrong, "\n".join(wrong)
