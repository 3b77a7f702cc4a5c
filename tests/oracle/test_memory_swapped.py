"""Pages in swap, and pages that are merged: counted as smaps tells it. Both take root."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

import untorn
from tests.helpers.nobody import as_root
from tests.helpers.populated import EXACT, WAYS, Populated, Told, differences
from tests.helpers.regions import PAGE, PMD
from tests.helpers.tasks import wait_until
from tests.oracle.real_files import directory_on_a_disk

pytestmark = [pytest.mark.live, as_root]
KSM = Path("/sys/kernel/mm/ksm")
SWAP_SIZE = 32 << 20
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


def made(command: str, *arguments: object) -> bool:
    """Run one of the system's commands; tell whether it did what it was to do."""
    path = shutil.which(command, path=_SBIN)
    if path is None:
        return False
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[None]:
    """A swap file, until the end of the test."""
    with directory_on_a_disk(tmp_path, Path("/var/tmp"), Path.cwd()) as directory:
        file = directory / "swap"
        file.touch(mode=0o600)
        with file.open("wb") as opened:
            for _ in range(SWAP_SIZE >> 20):
                opened.write(bytes(1 << 20))
        if not (made("mkswap", file) and made("swapon", file)):
            pytest.skip("no swap file can be had here")
        try:
            yield
        finally:
            assert made("swapoff", file)


def put_into_swap(process: Populated, kind: str, size: int) -> None:
    """Have the kernel write a part of a region to swap."""
    at = process.at[kind]

    def is_there() -> bool:
        process.do(f"regions.page_out({at}, {size})")
        told = Told.by(process.pid)
        lines = (record.line for record in told.records)
        here = (int(line.split(b"-")[0], 16) == at for line in lines)
        return any(is_it and most for is_it, most in zip(here, told.sums["swap"], strict=True))

    wait_until(is_there, f"{kind} is in swap")


@pytest.mark.parametrize("how", WAYS)
def test_what_is_in_swap_is_as_smaps_says(swap: None, how: str) -> None:
    with Populated(["dense", "sparse", "huge", "shared", "guards"]) as process:
        for kind in "dense", "sparse", "huge":
            put_into_swap(process, kind, PMD)
        put_into_swap(process, "shared", PMD)
        child = process.fork(f"regions.write({process.at['dense']}, {PMD}, {3 * PAGE})")
        for pid in process.pid, child:
            look = partial(untorn.memory, pid, max_hold=WAYS[how])
            # What is swapped of shared memory leaves no trace in page tables.
            exact = set(EXACT[how]) - ({"swap"} if how == "pagemap" else set())
            assert differences(pid, look, exact) == []
            memory = look()
            bounds = memory.bounds("swap")
            assert bounds
            row = memory.start.tolist().index(process.at["dense"])
            assert bounds[0][row] == bounds[1][row] > 0
        assert memory.bounds("swap_pss")


@pytest.fixture
def merging() -> Iterator[Callable[[], object]]:
    """Pages that are alike are merged, until what is yielded is called."""
    files = [KSM / name for name in ("pages_to_scan", "sleep_millisecs", "run")]
    try:
        before = {file: file.read_text() for file in files}
        merged_before = int((KSM / "pages_shared").read_text())
        with ExitStack() as stack:
            for file, wanted in zip(files, ("20000", "5", "1"), strict=True):
                stack.callback(file.write_text, before[file])
                file.write_text(wanted)
            if not merged_before:
                stack.callback((KSM / "run").write_text, "2")  # forget what was merged here
            yield partial((KSM / "run").write_text, "0")
    except (FileNotFoundError, PermissionError) as error:
        pytest.skip(f"no pages can be merged here: {error}")


@pytest.mark.parametrize("how", WAYS)
def test_what_is_merged_is_as_smaps_says(merging: Callable[[], object], how: str) -> None:
    with Populated(["mergeable", "dense"]) as process:
        told = Told.by(process.pid)
        if "ksm" not in told.sums:
            pytest.skip("smaps does not tell: it does since Linux 6.7")
        wait_until(lambda: sum(Told.by(process.pid).sums["ksm"]) == PMD, "all are merged")
        merging()
        child = process.fork(f"regions.write({process.at['mergeable']}, {PMD}, {2 * PAGE})")
        for pid in process.pid, child:
            look = partial(untorn.memory, pid, max_hold=WAYS[how])
            assert differences(pid, look, EXACT[how]) == []
            assert 0 < (look().total.ksm or 0) <= PMD
