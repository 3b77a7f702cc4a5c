"""The running kernel's maps file, against the text that the kernel shows of a sleeping process."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from untorn.errors import OutOfReachError
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Permissions
from untorn.maps.procmap_query import ProcmapQuery
from untorn.reader.access.live_maps_file import LiveMapsFile

pytestmark = pytest.mark.live


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has settled: it has read from its stdin once, and waits to read again."""
    code = "import sys; sys.stdin.readline(); print(flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def maps(sleeper: subprocess.Popen[bytes]) -> Iterator[LiveMapsFile]:
    with LiveMapsFile(sleeper.pid) as file:
        yield file


@pytest.fixture
def asked(maps: LiveMapsFile) -> LiveMapsFile:
    """A maps file of a kernel that has the ioctl."""
    try:
        maps.query(0, next=True)
    except OSError as error:
        if error.errno == errno.ENOTTY:
            pytest.skip("this kernel has no PROCMAP_QUERY")
        raise
    return maps


def maps_of_sleeper(process: subprocess.Popen[bytes]) -> bytes:
    return Path(f"/proc/{process.pid}/maps").read_bytes()


def test_reads_join_to_the_whole_text(sleeper: subprocess.Popen[bytes], maps: LiveMapsFile) -> None:
    assert b"".join(iter(lambda: maps.read(65536), b"")) == maps_of_sleeper(sleeper)


def test_a_read_is_one_system_call_and_no_more(maps: LiveMapsFile) -> None:
    assert len(maps.read(10)) == 10
    assert 10 < len(maps.read(1 << 20)) < 1 << 14  # what the kernel returns at once: about a page


def test_seek_starts_over_or_goes_on(maps: LiveMapsFile) -> None:
    start = maps.read(100)
    assert maps.seek(0, os.SEEK_CUR) == 100
    assert maps.seek(0) == 0
    assert maps.read(100) == start


@pytest.mark.parametrize(("offset", "whence"), [(-1, os.SEEK_SET), (0, os.SEEK_END)])
def test_a_seek_the_kernel_refuses_is_einval(maps: LiveMapsFile, offset: int, whence: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        maps.seek(offset, whence)


def test_the_ioctl_tells_what_the_text_tells(
    sleeper: subprocess.Popen[bytes], asked: LiveMapsFile
) -> None:
    lines = [
        line for line in maps_of_sleeper(sleeper).splitlines(True) if b"[vsyscall]" not in line
    ]
    assert [vma.entry for vma in asked.walk()] == [MapsEntry.parse(line) for line in lines]


def test_permissions_and_file_backing_can_be_asked_for(asked: LiveMapsFile) -> None:
    wanted = Permissions.EXECUTE
    code = asked.query(0, next=True, permissions=wanted, file_backed=True).entry
    assert code.executable
    assert code.inode


def test_no_name_is_given_where_none_was_asked_for(asked: LiveMapsFile) -> None:
    named = next(vma for vma in asked.walk() if vma.entry.name)
    nameless = named._replace(entry=named.entry._replace(name=b""))
    assert asked.query(named.entry.start, name=False) == nameless


def test_the_kernel_is_asked_for_no_build_id(maps: LiveMapsFile) -> None:
    with pytest.raises(OutOfReachError, match="the kernel would read from what is mapped"):
        maps.query(0, next=True, build_id=True)


def test_refusals_have_the_kernels_errno(asked: LiveMapsFile) -> None:
    named = next(vma.entry for vma in asked.walk() if vma.entry.name)
    with pytest.raises(OSError, match="No such file") as unmapped:
        asked.query(0)
    with pytest.raises(OSError, match="too long") as small:
        asked.procmap_query(ProcmapQuery(query_addr=named.start, vma_name_size=2))
    with pytest.raises(OSError, match="Invalid") as odd:
        asked.procmap_query(ProcmapQuery(query_flags=0x40))
    errors = [each.value.errno for each in (unmapped, small, odd)]
    assert errors == [errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL]


def test_smaps_reads_as_text_and_has_no_ioctl(sleeper: subprocess.Popen[bytes]) -> None:
    with LiveMapsFile(sleeper.pid, "smaps") as file:
        assert b"\nRss:" in file.read(65536)
        with pytest.raises(OSError, match="ioctl") as refused:
            file.query(0, next=True)
    assert refused.value.errno == errno.ENOTTY


def test_a_process_that_is_gone_cannot_be_read(sleeper: subprocess.Popen[bytes]) -> None:
    with LiveMapsFile(sleeper.pid) as file:
        sleeper.kill()
        sleeper.wait()
        with pytest.raises(ProcessLookupError):
            file.read(100)
    with pytest.raises(FileNotFoundError, match=str(sleeper.pid)):
        LiveMapsFile(sleeper.pid)


def test_another_procfs_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "maps").write_bytes(b"00400000-00401000 r--p 00000000 00:00 0 \n")
    with LiveMapsFile(42, proc=str(tmp_path)) as file:
        assert file.read(8) == b"00400000"


def test_a_closed_file_stays_closed(maps: LiveMapsFile) -> None:
    maps.close()
    maps.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        maps.read(1)


def test_the_live_reader_starts_without_the_heavy_libraries() -> None:
    heavy = "{'numpy', 'rich', 'click', 'matplotlib', 'greenlet'}"
    code = f"import sys, untorn.reader.access.live_maps_file; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
