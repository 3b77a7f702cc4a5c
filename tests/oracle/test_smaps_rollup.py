"""The sums of a whole process, from its exec on, and which fields are left out of comparisons."""

import os
import re
from pathlib import Path

import pytest

from tests.helpers.engine import read_all
from tests.helpers.repository import ROOT
from tests.helpers.smaps_records import records
from tests.helpers.this_machine import or_skip
from tests.oracle.kernel_process import KernelProcess, why_not
from tests.oracle.smaps_pair import COMPARED
from tests.oracle.worlds import ANONYMOUS, RW
from untorn.conform.traced import minimal_elf
from untorn.conform.traced.bounds import limits_of
from untorn.conform.traced.minimal_child import MinimalChild
from untorn.conform.traced.open_file import file_facts, vm_file
from untorn.fs.binfmt_elf import Program, Segment
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mm_types import MmStruct
from untorn.mm.mman import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_READ,
)
from untorn.syscalls import Process

pytestmark = pytest.mark.live

P = PAGE_SIZE
AT = 0x2000_0000_0000
DOCS = ROOT / "docs" / "kernel-map.md"
ROLLUP_FIELDS = (*COMPARED, "Pss_Anon", "Pss_File", "Pss_Shmem")


def minimal_process(child: MinimalChild) -> Process:
    """Return the engine's process of the child's program, as it is after its first instruction."""
    program = minimal_elf.in_memory()
    file, size = vm_file(file_facts(program)), os.fstat(program).st_size
    os.close(program)
    file.inode = int(child.maps().split()[4])  # the child's own copy
    file.mapping.set_dirty(0, 1)
    segment = Segment(0, minimal_elf.BASE, size, size, PROT_READ | PROT_EXEC)
    process = Process(MmStruct(limits=limits_of(child)))
    process.execve(Program(file, (segment,)), [b"minimal"], filename=b"/dev/fd/400")
    process.touch(minimal_elf.BASE, write=False)
    return process


def compared(text: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the header of a smaps_rollup, and the fields that are modelled."""
    (record,) = records(text)
    return record.line, {k: v for k, v in record.fields.items() if k in ROLLUP_FIELDS}


def test_the_sums_of_a_process_are_those_of_the_kernel() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with or_skip(MinimalChild) as child:
        process = minimal_process(child)
        maps = [
            (AT, 9 * P, RW, ANONYMOUS | MAP_FIXED | MAP_POPULATE),
            (AT + 16 * P, 5 * P, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED),
            (AT + 32 * P, 7 * P, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE),
        ]
        directory = Path(f"/proc/{child.pid}")

        def compare() -> None:
            kernel, engine = directory / "smaps_rollup", process.open("smaps_rollup")
            assert compared(read_all(engine)) == compared(kernel.read_bytes())

        compare()
        for arguments in maps:
            assert child.call("mmap", *arguments, -1, 0) == process.mmap(*arguments)
            compare()
        process.madvise(AT, 2 * P, MADV_DONTNEED)
        assert child.call("madvise", AT, 2 * P, MADV_DONTNEED) == 0
        compare()
        process.munmap(AT + 2 * P, 34 * P)
        assert child.call("munmap", AT + 2 * P, 34 * P) == 0
        compare()


def test_every_field_is_compared_or_said_not_to_be(child: KernelProcess) -> None:
    shown = set(records(child.smaps())[0].fields)
    table = DOCS.read_text().partition("## Fields of smaps")[2]
    left_out = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert shown - set(COMPARED) <= left_out
    assert "Rss" in shown
