"""docs/releases.md agrees with the code."""

import re

import pytest

from tests.helpers.repository import ROOT
from untorn.fs.proc.files import PROC_FILES
from untorn.releases.changes import QUERY_PER_VMA
from untorn.releases.release import Release
from untorn.releases.table import table

PAGE = (ROOT / "docs/releases.md").read_text()


def test_the_table_is_what_the_command_prints() -> None:
    assert table() in PAGE, "run python -m untorn.releases.table, and paste its output there"


def row(file: str) -> str:
    (found,) = re.findall(rf"^\|[^|]*`{file}`[^|]*\|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE)
    return str(found).strip()


@pytest.mark.parametrize("file", ["maps", "smaps", "numa_maps"])
def test_each_file_takes_a_vma_lock_since_the_release_that_is_said(file: str) -> None:
    per_vma = PROC_FILES[file].per_vma
    assert per_vma is not None
    assert row(file) == f"since {per_vma.since}"


def test_a_query_takes_a_vma_lock_since_the_release_that_is_said() -> None:
    assert row("PROCMAP_QUERY") == f"since {QUERY_PER_VMA.since}"


def test_smaps_rollup_takes_none_yet() -> None:
    assert PROC_FILES["smaps_rollup"].locking_of(Release(7, 3)) == "mmap_lock"
    assert row("smaps_rollup") == "queued for 7.4"
