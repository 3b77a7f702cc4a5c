"""untorn memory: what it prints of processes that stand still, and of those it cannot read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.entries import record
from untorn.cli import main
from untorn.cli.memory_rows import Row
from untorn.cli.memory_table import table
from untorn.reader import memories
from untorn.reader.memories import look_at_memories
from untorn.reader.memory.memory import Amounts, How, sum_of
from untorn.reader.memory.smaps_text import parse_smaps

MIB = 1 << 20
PLAIN = Amounts(3, size=8 * MIB, rss=4 * MIB, pss=3 * MIB, private=2 * MIB, swap=0)
HELD = "a lock may have been held for more than"
HEADINGS = "size", "rss", "%", "pss", "private"

THREAD = """
import threading
thread = threading.Thread(target=input, daemon=True)
thread.start()
print(thread.native_id, flush=True)
thread.join()
"""
RENAMED = """
import ctypes
ctypes.CDLL(None).prctl(15, b"a\\n\\\\n\\x1b[2J", 0, 0, 0)  # PR_SET_NAME
input(chr(10))
"""
FEW_FILES = """
import os, resource, sys
from untorn.cli import main
from untorn.reader import memories
from untorn.reader.memory.rollup import NO_SIZES
memories.walk_ns(NO_SIZES)  # which opens files of its own
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 1024))
main(["memory", sys.argv[1], "--by", "process", "--max-hold", "60000"])
"""


@pytest.fixture(scope="module")
def process() -> Iterator[Commanded]:
    with Commanded() as child:
        child.do("at = place(512); put(at, 512); ctypes.memset(at, 1, 512 << 12)")
        yield child


def run(*arguments: object) -> tuple[int, str, str]:
    """Return status, stdout, and stderr without the line that a call took long: that is luck."""
    done = CliRunner().invoke(main, ["memory", *map(str, arguments)])
    told = [line for line in done.stderr.splitlines(keepends=True) if HELD not in line]
    return done.exit_code, done.stdout, "".join(told)


def objects(*arguments: object) -> list[dict[str, Any]]:
    status, stdout, stderr = run(*arguments, "--json")
    assert (status, stderr) == (0, "")
    return [json.loads(line) for line in stdout.splitlines()]


@pytest.mark.live
@pytest.mark.parametrize("by", ["vma", "name"])
def test_the_command_itself_is_known_vma_by_vma_too(by: str) -> None:
    status, stdout, _ = run(os.getpid(), "--by", by, "--json")  # its memory changes meanwhile
    assert status == 0
    assert len(stdout.splitlines()) > 1


def told_of(pid: int) -> Amounts:
    text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    return untorn.Memory.parse(text).total


def command_of(process: Commanded) -> str:
    return Path(f"/proc/{process.pid}/comm").read_text().rstrip("\n")


@pytest.mark.live
def test_json_by_vma_is_what_smaps_says(process: Commanded) -> None:
    found = objects(process.pid, "--by", "vma")
    assert [each["rss"] for each in found] == sorted((each["rss"] for each in found), reverse=True)
    found.sort(key=lambda each: int(each["start"]))
    smaps = parse_smaps(Path(f"/proc/{process.pid}/smaps").read_bytes())
    columns = smaps.columns
    assert [each["start"] for each in found] == columns.start.tolist()
    assert [each["end"] for each in found] == columns.end.tolist()
    assert [os.fsencode(each["name"]) for each in found] == [
        columns.names[name] for name in columns.name
    ]
    for key, field in ("rss", "Rss"), ("anonymous", "Anonymous"), ("swap", "Swap"):
        assert [each[key] for each in found] == smaps.fields[field].tolist()
    assert {each["pid"] for each in found} == {process.pid}
    assert {each["changed"] for each in found} == {False}
    assert {each["how"] for each in found} <= set(How)


@pytest.mark.live
def test_json_by_process_is_what_smaps_rollup_says(process: Commanded) -> None:
    (found,) = objects(process.pid, "--by", "process")
    total = told_of(process.pid)
    assert (found["rss"], found["anonymous"]) == (total.rss, total.anonymous)
    assert found["private"] <= found["pss"] <= found["rss"]  # others may start to share a library
    assert (found["pid"], found["command"]) == (process.pid, command_of(process))
    assert "name" not in found


@pytest.mark.live
def test_json_by_name_is_the_sum_of_its_vmas(process: Commanded) -> None:
    by_vma = objects(process.pid, "--by", "vma")
    for found in objects(process.pid):
        mine = [each for each in by_vma if each["name"] == found["name"]]
        assert found["vmas"] == len(mine)
        assert found["rss"] == sum(each["rss"] for each in mine)


@pytest.mark.live
def test_one_process_is_shown_by_name_and_several_by_process(process: Commanded) -> None:
    status, stdout, stderr = run(process.pid)
    assert (status, stderr) == (0, "")
    heading, *rows, total = stdout.splitlines()
    assert heading.split()[:6] == ["VMAs", *HEADINGS]
    assert heading.split()[-1] == "name"
    assert len(rows) == len(untorn.memory(process.pid).by_name())
    assert total.split()[-1] == "total"
    with Commanded() as other:
        heading, first, second, _ = run(process.pid, other.pid)[1].splitlines()
        assert heading.split()[:2] == ["pid", "size"]
        assert [line.split()[0] for line in (first, second)] == [str(process.pid), str(other.pid)]


@pytest.mark.live
def test_of_several_processes_a_line_by_vma_tells_whose_it_is(process: Commanded) -> None:
    with Commanded() as other:
        heading, *rows = run(process.pid, other.pid, "--by", "vma")[1].splitlines()
        assert heading.split()[:2] == ["pid", "range"]
        assert {row.split()[0] for row in rows[:-1]} == {str(process.pid), str(other.pid)}


@pytest.mark.live
def test_names_of_several_processes_are_added_up(process: Commanded) -> None:
    with Commanded() as other:
        both = {
            each["name"]: each["vmas"] for each in objects(process.pid, other.pid, "--by", "name")
        }
        parts = [untorn.snapshot(pid).totals() for pid in (process.pid, other.pid)]
        assert both["[stack]"] == 2
        assert sum(both.values()) == sum(total.vmas for part in parts for total in part.values())


@pytest.mark.live
def test_of_several_processes_of_which_one_is_gone_the_others_are_shown(process: Commanded) -> None:
    with Commanded() as gone:
        gone.reap()
        status, stdout, stderr = run(gone.pid, process.pid)
    assert status == 1
    assert stderr == f"Error: /proc/{gone.pid}: No such file or directory\n"
    assert stdout.splitlines()[1].split()[0] == str(process.pid)


@pytest.mark.live
def test_a_process_named_twice_is_shown_once(process: Commanded) -> None:
    assert len(objects(process.pid, process.pid, "--by", "process")) == 1


@pytest.mark.live
def test_an_estimate_is_told_with_its_interval(process: Commanded) -> None:
    (found,) = objects(process.pid, "--by", "process", "--max-hold", 1e-6, "--within", 60)
    assert found["how"] in (How.SAMPLE, How.PAGEMAP)
    assert found.get("rss_min", found["rss"]) <= found["rss"] <= found.get("rss_max", found["rss"])


@pytest.mark.live
def test_all_are_the_processes_of_a_procfs(process: Commanded, tmp_path: Path) -> None:
    for name in ("self", "meminfo", "swaps", "stat"):
        (tmp_path / name).symlink_to(f"/proc/{name}")
    (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
    (found,) = objects("--all", "--proc", tmp_path)
    total = told_of(process.pid)
    assert (found["pid"], found["command"]) == (process.pid, command_of(process))
    assert found["rss"] == total.rss
    _, row, last = run("--all", "--proc", tmp_path)[1].splitlines()
    assert (row.split()[-1], last.split()[-1]) == (command_of(process), "total")
    for by in "vma", "name":
        both = objects("--all", "--proc", tmp_path, "--by", by), objects(process.pid, "--by", by)
        ours, theirs = ([(each["name"], each["rss"]) for each in found] for found in both)
        assert ours == theirs


def test_those_of_all_that_are_not_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        memories.ProcessMemory(7, b"x\x1b[2J", PLAIN, How.SMAPS, 0),
        *(memories.Unread(pid, PermissionError()) for pid in (8, 9)),
        memories.Unread(10, TimeoutError()),
    ]
    monkeypatch.setattr(memories, "look_at_memories", lambda *arguments, **options: iter(found))
    status, stdout, stderr = run("--all")
    assert status == 0
    assert stdout.splitlines()[1].split()[0] == "7"
    assert "\x1b" not in stdout
    assert stderr == "no right to read: 2 of 4 processes\nnot read in time: 1 of 4 processes\n"


@pytest.mark.live
def test_ctrl_c_ends_it_cleanly_and_shows_what_was_measured(
    process: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_once(*arguments: Any, **options: Any) -> Iterator[object]:
        yield next(look_at_memories(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(memories, "look_at_memories", look_once)
    with Commanded() as other:
        status, stdout, stderr = run(process.pid, other.pid)
        assert (status, stderr) == (1, "interrupted; processes read: 1\n")
        assert stdout.splitlines()[1].split()[0] in (str(process.pid), str(other.pid))


@pytest.mark.parametrize(
    ("holds", "over"),
    [([5_000_000, 1], 1), ([1_500_000, 5_000_000], 2)],
)
def test_a_hold_that_took_longer_than_it_may_is_told(
    monkeypatch: pytest.MonkeyPatch, holds: list[int], over: int
) -> None:
    found = [
        memories.ProcessMemory(pid, b"x", PLAIN, How.SMAPS, hold) for pid, hold in enumerate(holds)
    ]
    monkeypatch.setattr(memories, "look_at_memories", lambda *arguments, **options: iter(found))
    done = CliRunner().invoke(main, ["memory", "--all", "--json"])
    worst = holds.index(5_000_000)
    told = f"{HELD} 1 ms: {over} of 2 processes, 5 ms at most (process {worst})\n"
    assert (done.exit_code, done.stderr) == (0, told)
    assert [json.loads(line)["longest_hold_ns"] for line in done.stdout.splitlines()] == holds


@pytest.mark.live
def test_a_thread_is_looked_at_as_its_process(process: Commanded) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", THREAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout
        thread = int(child.stdout.readline())
        by_thread, by_process = (objects(pid, "--by", "vma") for pid in (thread, child.pid))
        child.communicate()
    assert {each["start"] for each in by_thread} == {each["start"] for each in by_process}


@pytest.mark.live
def test_names_with_control_characters_are_told_as_they_are(process: Commanded) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", RENAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout
        child.stdout.readline()
        (found,) = objects(child.pid, "--by", "process")
        assert found["command"] == "a\n\\n\x1b[2J"
        rows = run(child.pid, "--by", "process")[1].splitlines()[1:]
        child.communicate()
    assert [line.split("  ")[-1] for line in rows] == ["a\\n\\n\\x1b[2J", "total"]


@pytest.mark.live
def test_no_time_left_is_told_of_what_is_named(process: Commanded) -> None:
    status, stdout, stderr = run(process.pid, "--timeout", 1e-9)
    assert (status, stdout) == (1, "")
    assert stderr == f"Error: /proc/{process.pid}: not read in time\n"


@pytest.mark.live
def test_stuck_processes_do_not_keep_the_others_from_being_looked_at(
    process: Commanded, tmp_path: Path
) -> None:
    (tmp_path / "self").symlink_to("/proc/self")
    (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
    stuck = [tmp_path / str(number) / "status" for number in (1 << 23, 1 << 24)]
    for path in stuck:
        path.parent.mkdir()
        os.mkfifo(path)
    try:
        status, stdout, stderr = run("--all", "--proc", tmp_path, "--within", 0.2)
    finally:
        for path in stuck:
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    assert (status, stderr) == (0, "not read in time: 2 of 3 processes\n")
    assert stdout.splitlines()[1].split()[0] == str(process.pid)


@pytest.mark.live
def test_too_few_open_files_are_one_line(process: Commanded) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, str(process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    told = done.stderr.splitlines()[-1]
    assert told.startswith("Error: ")
    assert told.endswith("Too many open files")
    assert "Traceback" not in done.stderr


@pytest.mark.live
def test_what_cannot_be_written_is_one_line(process: Commanded) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "untorn", "memory", str(process.pid)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.live
def test_who_reads_no_further_is_not_told(process: Commanded) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb") as nobody:  # noqa: PTH123 (a file descriptor)
        done = subprocess.run(
            [sys.executable, "-m", "untorn", "memory", str(process.pid)],
            stdout=nobody,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x",),
        ("--", -1),
        (1.5,),
        ("--by", "vma"),
        (7, "--timeout", 0),
        ("--all", 7),
        ("--by", "page", 7),
        (0,),
        (7, "--within", 0),
        (7, "--within", "-1"),
        (7, "--max-hold", "-1"),
        (7, "--max-hold", "nan"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(arguments: tuple[object, ...]) -> None:
    assert run(*arguments)[0] == 2


def lines(rows: list[Row]) -> list[list[str]]:
    total = sum_of(row.amounts for row in rows)
    return [line.split() for line in table(rows, ["VMAs"], "name", total)]


def test_each_row_has_its_share_and_the_sums_come_last() -> None:
    small = Amounts(1, size=MIB, rss=MIB, pss=MIB, private=0, swap=0)
    heading, *rows = lines([Row(PLAIN, How.SMAPS, False, name=b"/x\x1b[2J"),
                            Row(small, How.SMAPS, False, name=b"")])  # fmt: skip
    assert heading[1:-1] == ["VMAs", *HEADINGS][1:]
    assert [" ".join(row) for row in rows] == [
        "3 8 MiB 4 MiB 80.0 3 MiB 2 MiB /x\\x1b[2J",
        "1 1 MiB 1 MiB 20.0 1 MiB 0 KiB anonymous",
        "9 MiB 5 MiB 100.0 4 MiB 2 MiB total",
    ]


def test_what_is_not_known_is_left_out_or_has_bounds_and_estimates_are_marked() -> None:
    bounded = Amounts(1, size=8 * MIB, rss=4 * MIB, bounds={"private": (MIB, 4 * MIB)})
    estimate = Amounts(1, size=8 * MIB, rss=3 * MIB, swap=MIB,
                       bounds={"rss": (2 * MIB, 5 * MIB), "swap": (0, 2 * MIB)})  # fmt: skip
    heading, *rows = lines([Row(bounded, How.PAGEMAP, False, name=b"/x"),
                            Row(estimate, How.SAMPLE, False, name=b"/y")])  # fmt: skip
    assert heading[1:-1] == ["size", "rss", "%", "private", "swap"]
    assert [" ".join(row) for row in rows] == [
        "1 8 MiB 4 MiB 57.1 1-4 MiB - /x",
        "1 8 MiB ~3 (2-5) MiB 42.9 - ~1 (0-2) MiB /y",
        "16 MiB ~7 (6-9) MiB 100.0 - - total",
    ]


def test_sums_are_known_of_what_all_have_and_bounds_add_up() -> None:
    bounded = Amounts(None, rss=MIB, bounds={"pss": (MIB, 2 * MIB)})
    total = sum_of([PLAIN, bounded])
    assert (total.vmas, total.rss, total.pss, total.swap) == (None, 5 * MIB, None, None)
    assert total.interval("pss") == (4 * MIB, 5 * MIB)
    assert total.interval("swap") is None
    assert sum_of([PLAIN]) == PLAIN
    assert (sum_of([]).vmas, sum_of([]).rss) == (0, 0)


def test_json_tells_bounds_and_null_where_nothing_is_known() -> None:
    entry = record(0x1000, 0x3000, b"r-xp", name=b"/\xff")
    amounts = Amounts(1, size=0x2000, rss=4096, bounds={"pss": (1024, 4096)})
    told = Row(amounts, How.PAGEMAP, True, 7, b"x", entry).as_json()
    assert json.loads(json.dumps(told)) == told
    assert (told["pss"], told["pss_min"], told["pss_max"]) == (None, 1024, 4096)
    assert told["swap"] is None
    assert "rss_min" not in told
    assert (told["start"], told["end"], told["permissions"]) == (0x1000, 0x3000, "r-xp")
    assert os.fsencode(str(told["name"])) == b"/\xff"
    assert (told["how"], told["changed"]) == ("pagemap", True)
