"""Reading a process changes nothing of it: not what it maps, not its pages, not its files."""

import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import untorn
from tests.helpers.repository import UNTORN
from tests.helpers.this_machine import MAY_OPEN_BY_MAPPING
from tests.helpers.victim import Victim
from untorn import stale as survey
from untorn.reader.access.gentle import open_maps_file

pytestmark = pytest.mark.live
LIMIT = 60.0
"""Seconds after which a command counts as hung: its own limit is 10."""
PRESENT, SWAPPED, SOFT_DIRTY = 1 << 63, 1 << 62, 1 << 55


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    with Victim(tmp_path) as process:
        yield process


def pages_of(pid: int) -> dict[int, int]:
    """Which pages exist, and which were written since the bits were cleared."""
    pages = {}
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for vma in untorn.snapshot(pid):
            if vma.start >> 63:
                continue
            pagemap.seek(vma.start >> 12 << 3)
            entries = pagemap.read((vma.end - vma.start) >> 12 << 3)
            for number, (entry,) in enumerate(struct.iter_unpack("=Q", entries)):
                pages[(vma.start >> 12) + number] = entry & (PRESENT | SWAPPED | SOFT_DIRTY)
    return pages


def referenced_of(pid: int) -> list[bytes]:
    """How much of each VMA was accessed since the bits were cleared."""
    return re.findall(rb"^Referenced:.*$", Path(f"/proc/{pid}/smaps").read_bytes(), re.MULTILINE)


def run(*arguments: str | int) -> None:
    done = subprocess.run(
        [*UNTORN, *map(str, arguments)], capture_output=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr


def look_with_everything(victim: Victim) -> None:
    run("maps", victim.pid)
    run("maps", victim.pid, "--json")
    for addr in victim.at.values():
        run("query", victim.pid, f"{addr:x}")
        run("query", victim.pid, f"{addr:x}", "--json", "--build-id", "--details")
    run("memory", victim.pid, "--by", "vma", "--json")
    run("memory", victim.pid, "--max-hold", "0.000001")
    run("stale")
    run("doctor")
    watch_once(victim.pid)


def watch_once(pid: int) -> None:
    command = [*UNTORN, "watch", str(pid), "--interval", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout
        assert '"first"' in watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(LIMIT) == 0


def look_by_the_library(victim: Victim) -> None:
    for ioctl in True, False:
        with untorn.open_maps(victim.pid, ioctl=ioctl, timeout=LIMIT) as maps:
            maps.snapshot()
            for addr in victim.at.values():
                maps.query(addr, build_id=True)
                maps.locate(addr)
                maps.details(addr)
                maps.is_file(addr, sys.executable)
    untorn.memory(victim.pid)
    untorn.memory(victim.pid, max_hold=1e-9)
    with open_maps_file(victim.pid, "smaps", gentle=True) as smaps:
        while smaps.read(1 << 16):
            pass
    survey()


@pytest.mark.parametrize("look", [look_with_everything, look_by_the_library])
def test_a_process_is_the_same_after_every_look(
    victim: Victim, tmp_path: Path, look: Callable[[Victim], None]
) -> None:
    victim.left()  # what it does to report has been done once
    plain = tmp_path / "plain"
    os.utime(plain, ns=(10**18, 2 * 10**18))  # a read would update the older access time
    before = (
        victim.left(),
        pages_of(victim.pid),
        referenced_of(victim.pid),
        plain.stat().st_atime_ns,
    )
    assert before[0]["tcp"] == before[0]["unix"] == before[0]["fifo"] == 300
    look(victim)
    pages, referenced = pages_of(victim.pid), referenced_of(victim.pid)
    assert pages == before[1]
    assert (victim.left(), referenced, plain.stat().st_atime_ns) == (before[0], *before[2:])
    assert victim.left("end")["received"] == 300


REASONS = {
    "tcp": "no mounted file system",
    "packet": "no mounted file system",
    "io_uring": "no mounted file system",
    "perf": "no mounted file system",
    "zero": "a character device",
    "file": "no ELF file",
    "replaced": "no ELF file",
    "shared": "no ELF file",
    "memory": "no file is mapped",
}


@pytest.mark.parametrize(("name", "reason"), REASONS.items())
def test_a_build_id_is_absent_with_its_reason(victim: Victim, name: str, reason: str) -> None:
    if name in victim.missing:
        pytest.skip(f"cannot be mapped here: {victim.missing[name]}")
    with untorn.open_maps(victim.pid) as maps:
        vma = maps.query(victim.at[name], build_id=True)
    assert vma.build_id == b""
    if MAY_OPEN_BY_MAPPING or name not in ("replaced", "shared", "zero"):
        assert reason in vma.build_id_absent
    else:  # only the mapping leads to it, which takes CAP_CHECKPOINT_RESTORE
        assert vma.build_id_absent
