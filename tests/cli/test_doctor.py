"""What the kernel offers: how we decide, and what doctor prints."""

import errno
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from untorn.cli import main
from untorn.errors import os_error
from untorn.maps.maps_file import MapsFile
from untorn.maps.procmap_query import ProcmapQuery, QueriedVma
from untorn.reader.access import capabilities
from untorn.reader.access.capabilities import Capabilities
from untorn.reader.access.kernel_locks import (
    SymbolEvidence,
    decide,
    find_symbol,
    probe_locking,
)
from untorn.releases.release import Release

LIST = Path("/proc/kallsyms")
PRESENT, ABSENT = SymbolEvidence(True, LIST), SymbolEvidence(False, LIST)


@pytest.mark.parametrize(
    ("file", "release", "symbol", "lock"),
    [
        ("maps", (6, 16), None, "mmap_lock"),
        ("maps", (6, 17), None, "per-VMA"),
        ("maps", (7, 0), None, "per-VMA"),
        ("PROCMAP_QUERY", (6, 17), None, "mmap_lock"),
        ("PROCMAP_QUERY", (6, 18), None, "per-VMA"),
        ("smaps", (7, 1), None, "mmap_lock"),
        ("smaps", (7, 2), None, "per-VMA"),
        ("maps", (6, 12), PRESENT, "per-VMA"),  # a backport to an older release
        ("smaps", (6, 18), PRESENT, "mmap_lock"),  # the symbol came before smaps used it
        ("maps", (6, 18), ABSENT, "mmap_lock"),  # built without per-VMA locks
        ("smaps", (7, 2), ABSENT, "mmap_lock"),
    ],
)
def test_the_symbol_overrules_the_release_for_maps(
    file: str, release: tuple[int, int], symbol: SymbolEvidence | None, lock: str
) -> None:
    assert decide(file, Release(*release), symbol).lock == lock


def test_the_evidence_is_named() -> None:
    assert decide("maps", Release(6, 18), PRESENT).evidence == "lock_next_vma in /proc/kallsyms"
    assert decide("maps", Release(6, 18), ABSENT).evidence == "no lock_next_vma in /proc/kallsyms"
    assert decide("maps", Release(6, 18), None).evidence == "release 6.18; per-VMA since 6.17"


@pytest.mark.parametrize(
    ("symbols", "present"),
    [
        (b"ffff0 T do_mmap\nffff1 T lock_next_vma\n", True),
        (b"ffff0 T do_mmap\nffff1 T lock_next_vma_under_mmap_lock\n", False),
        (b"do_mmap\nlock_next_vma\n", True),  # tracefs lists names only
        (b"do_mmap\n", False),
    ],
)
def test_the_symbol_is_looked_up_by_its_whole_name(
    tmp_path: Path, symbols: bytes, present: bool
) -> None:
    file = tmp_path / "symbols"
    file.write_bytes(symbols)
    assert find_symbol((file,)) == SymbolEvidence(present, file)


def test_a_list_that_is_missing_or_empty_is_no_evidence(tmp_path: Path) -> None:
    empty, good = tmp_path / "empty", tmp_path / "good"
    empty.write_bytes(b"")
    good.write_bytes(b"do_mmap\n")
    assert find_symbol((tmp_path / "missing", empty)) is None
    assert find_symbol((tmp_path / "missing", empty, good)) == SymbolEvidence(False, good)


class Refusing(MapsFile):
    """A maps file whose ioctl fails in one way."""

    def __init__(self, number: int) -> None:
        self.number = number

    def procmap_query(self, question: ProcmapQuery) -> QueriedVma:
        raise os_error(self.number)

    def read(self, size: int) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOTTY, "this kernel has none"),
        (errno.EPERM, "refused by a filter of system calls (EPERM)"),
        (errno.ENOSYS, "refused by a filter of system calls (ENOSYS)"),
        (errno.EACCES, "refused by a filter of system calls (EACCES)"),
        (errno.ENOENT, ""),  # nothing is mapped
    ],
)
def test_the_ioctl_is_missing_if_kernel_or_filter_say_so(number: int, reason: str) -> None:
    assert Refusing(number).find_query_refusal() == reason


def test_another_error_says_nothing_about_the_ioctl() -> None:
    with pytest.raises(ProcessLookupError):
        Refusing(errno.ESRCH).find_query_refusal()


@pytest.mark.live
def test_this_kernel_is_judged_file_by_file() -> None:
    assert [each.file for each in probe_locking()] == ["maps", "PROCMAP_QUERY", "smaps"]


@pytest.mark.live
def test_probing_leaves_the_priority_as_it_was() -> None:
    def state() -> tuple[int, int]:
        return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)

    before = state()
    here = Capabilities.here()
    assert state() == before
    assert -20 <= here.lowest_nice <= before[0]


def test_without_rights_no_priority_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    here = Capabilities.here()
    assert here.lowest_nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert here.sched_fifo is False
    assert here.raised_to is None


def test_doctor_json_is_one_object() -> None:
    done = CliRunner().invoke(main, ["doctor", "--json"])
    content = json.loads(done.stdout)
    assert content["environment"]["kernel"] == os.uname().release
    assert content["environment"]["cpus"] == sorted(os.sched_getaffinity(0))
    locking = content["capabilities"]["locking"]
    assert locking[0].keys() == {"file", "lock", "evidence"}
    assert content["capabilities"]["sched_fifo"] in (True, False)


def test_doctor_tells_a_person_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: "/opt/qemu")
    done = CliRunner().invoke(main, ["doctor"], env={"COLUMNS": "150"})
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert any(row.startswith(f"kernel {os.uname().release}") for row in rows)
    assert any(row.startswith("lock of maps ") for row in rows)
    assert any(row.startswith("gentle reading ") for row in rows)
    assert "QEMU /opt/qemu boots other kernels" in rows
    assert "matplotlib no for plots: pip install 'untorn[plot]'" in rows
