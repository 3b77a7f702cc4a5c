"""The commands maps, query and watch on real processes."""

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import untorn
from tests.helpers.commanded import Commanded
from tests.helpers.entries import record
from tests.helpers.repository import UNTORN
from untorn.cli import main
from untorn.cli.values import printable, text
from untorn.cli.watch_view import WatchView
from untorn.maps.entry import MapsEntry
from untorn.maps.fields import Device, Permissions
from untorn.reader.snapshot import Snapshot
from untorn.reader.watch import Look

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def process() -> Iterator[Commanded]:
    with Commanded() as child:
        yield child


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


def test_maps_prints_what_the_kernel_prints(process: Commanded) -> None:
    done = subprocess.run([*UNTORN, "maps", str(process.pid)], capture_output=True, check=True)
    assert done.stdout.decode() == process.maps().decode()
    assert done.stderr == b""


def test_maps_json_is_one_object_a_vma(process: Commanded) -> None:
    done = subprocess.run(
        [*UNTORN, "maps", str(process.pid), "--json"], capture_output=True, check=True
    )
    entries = [
        MapsEntry(
            vma["start"],
            vma["end"],
            Permissions.parse(vma["permissions"].encode()),
            vma["offset"],
            Device(*vma["device"]),
            vma["inode"],
            os.fsencode(vma["name"]),
        )
        for vma in map(json.loads, done.stdout.splitlines())
    ]
    assert "".join(os.fsdecode(entry.line()) for entry in entries) == process.maps().decode()


def test_query_prints_the_vma_at_an_address(process: Commanded) -> None:
    line = next(line for line in process.maps().decode().splitlines() if "/libc" in line)
    addr = line.partition("-")[0]
    assert run("query", process.pid, addr) == (0, line + "\n", "")
    assert run("query", process.pid, f"0x{addr}") == (0, line + "\n", "")
    status, stdout, _ = run("query", process.pid, addr, "--json")
    assert status == 0
    assert json.loads(stdout)["start"] == int(addr, 16)
    assert json.loads(stdout)["page_size"] == os.sysconf("SC_PAGE_SIZE")


def test_query_tells_where_the_address_lies_in_its_file(process: Commanded) -> None:
    vma = next(
        vma for vma in untorn.snapshot(process.pid) if b"/libc" in vma.name and vma.executable
    )
    addr = vma.start + 0x123
    _, stdout, _ = run("query", process.pid, f"{addr:x}", "--json")
    told = json.loads(stdout)
    expected = untorn.locate(process.pid, addr)
    assert expected.path
    assert told["file"] == {
        "offset": vma.offset + 0x123,
        "kind": "a regular file",
        "path": os.fsdecode(expected.path),
        "elf_address": expected.elf_address,
    }
    assert told["absent"] == {}
    assert "build_id" not in told
    assert "flags" not in told


def test_query_tells_build_id_and_details_only_if_asked_to(process: Commanded) -> None:
    addr = next(f"{vma.start:x}" for vma in untorn.snapshot(process.pid) if b"/libc" in vma.name)
    _, stdout, _ = run("query", process.pid, addr, "--json", "--build-id", "--details")
    told = json.loads(stdout)
    with untorn.open_maps(process.pid) as maps:
        assert told["build_id"] == maps.query(int(addr, 16), build_id=True).build_id.hex()
    assert told["build_id"]
    assert {"flags", "protection_key", "guards", "stack_of"} <= set(told)
    stack = next(vma.start for vma in untorn.snapshot(process.pid) if vma.name == b"[stack]")
    _, stdout, _ = run("query", process.pid, f"{stack:x}", "--json", "--build-id")
    told = json.loads(stdout)
    assert (told["file"], told["build_id"]) == (None, None)
    assert told["absent"] == dict.fromkeys(("file", "build_id"), "no file is mapped there")
    usage = run("query", process.pid, addr, "--build-id")
    assert usage[0] == 2
    assert "--build-id and --details go with --json" in usage[2]


def test_query_takes_the_next_one_if_asked_to(process: Commanded) -> None:
    first = process.maps().decode().splitlines(keepends=True)[0]
    assert run("query", process.pid, "0") == (1, "", "Error: nothing is mapped at 0x0\n")
    assert run("query", process.pid, "0", "--next") == (0, first, "")
    above = "Error: nothing is mapped at or above 0xffffffffffffffff\n"
    assert run("query", process.pid, "f" * 16, "--next") == (1, "", above)


@pytest.mark.parametrize("addr", ["xyz", "-1", "1" * 17])
def test_what_is_no_address_is_wrong_usage(process: Commanded, addr: str) -> None:
    assert run("query", process.pid, "--", addr)[0] == 2


@pytest.mark.parametrize("command", [("maps",), ("memory",), ("query", "0", "--next"), ("watch",)])
def test_who_has_no_map_is_one_line(command: tuple[str, ...]) -> None:
    name, *rest = command
    with Commanded() as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        reason = "the process has ended, a zombie has no memory"
        assert run(name, child.pid, *rest) == (1, "", f"Error: /proc/{child.pid}/maps: {reason}\n")
        child.reap()
        file = "" if name == "memory" else "/maps"
        missing = f"Error: /proc/{child.pid}{file}: No such file or directory\n"
        assert run(name, child.pid, *rest) == (1, "", missing)
    if os.geteuid() == 0 and Path("/proc/2/maps").exists():
        kernel = "Error: /proc/2/maps: a kernel thread has no memory of its own\n"
        assert run(name, 2, *rest) == (1, "", kernel)


def test_another_procfs_is_read_where_it_is(process: Commanded, tmp_path: Path) -> None:
    (tmp_path / "42").symlink_to(f"/proc/{process.pid}")
    assert run("query", 42, "0", "--next", "--proc", tmp_path)[0] == 0
    done = subprocess.run(
        [*UNTORN, "maps", "42", "--proc", str(tmp_path)], capture_output=True, check=True, text=True
    )
    assert done.stdout == process.maps().decode()


@pytest.mark.parametrize("options", [["maps"], ["maps", "--json"], ["memory"], ["watch"]])
def test_a_reader_that_has_left_gets_no_traceback(process: Commanded, options: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*UNTORN, *options, str(process.pid)]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert (told, done.returncode) == ([], 1)


def test_watch_tells_what_changes_and_that_the_process_ended() -> None:
    with Commanded() as child:
        at = child.hole(4)
        with watcher_of(child) as watcher:
            told = map(json.loads, watcher.stdout or ())
            first = next(told)
            assert first["kind"] == "first"
            assert first["vmas"] == len(untorn.snapshot(child.pid))
            child.do("put(at, 4)")
            change = next(each for each in told if each["start"] == at)
            assert change["kind"] == "mapped"
            assert change["before"] is None
            assert change["after"]["permissions"] == "rw-p"
            child.reap()
            assert list(told)[-1]["kind"] == "ended"
            assert watcher.wait() == 0


@contextmanager
def watcher_of(child: Commanded) -> Iterator[subprocess.Popen[str]]:
    """A watch of the child; it is ended in any case."""
    command = [*UNTORN, "watch", str(child.pid), "--interval", "0.01"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as watcher:
        try:
            yield watcher
        finally:
            watcher.kill()


def test_ctrl_c_ends_a_watch_cleanly(process: Commanded) -> None:
    with watcher_of(process) as watcher:
        assert watcher.stdout
        assert watcher.stderr
        watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.stderr.read() == ""
        assert watcher.wait() == 0


def look(count: int, name: bytes = b"") -> Snapshot:
    entries = (record(n << 13, (n << 13) + 4096, b"rw-p", 0, (0, 0), 0, name) for n in range(count))
    return Snapshot.parse(b"".join(entry.line() for entry in entries))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (20, 5)])
def test_the_view_fits_the_terminal_however_large_the_map(width: int, height: int) -> None:
    view, before = WatchView(7), look(10)
    view.take(Look(before, []))
    now = look(2000, b"/" + b"x" * 300 + b"\x1b[31m\xff")
    view.take(Look(now, now.diff(before)))
    shown = io.StringIO()
    screen = Console(file=shown, width=width, height=height, force_terminal=True)
    screen.print(view.render(width, height))
    printed = shown.getvalue()
    assert printed.count("\n") <= max(height, 16)
    assert "\x1b[31m\\" not in printed


def test_the_view_tells_counts_names_and_changes() -> None:
    view, before = WatchView(7), look(3)
    view.take(Look(before, []))
    now = look(5, b"[anon:pool]")
    view.take(Look(now, now.diff(before)))
    shown = io.StringIO()
    screen = Console(file=shown, width=160, height=40)
    screen.print(view.render(160, 40))
    printed = shown.getvalue()
    assert "process 7: 5 VMAs, 20 KiB; 2 mapped, 3 renamed" in printed
    assert "anonymous → [anon:pool]" in printed
    assert "8000-9000" in printed


def test_names_are_printed_so_that_nothing_happens_to_the_terminal() -> None:
    assert printable(b"/tmp/\xc3\xa9\x1b[2J\n\xff") == "/tmp/é\\x1b[2J\\n\\xff"
    assert os.fsencode(text(b"\xff\xc3\xa9")) == b"\xff\xc3\xa9"
