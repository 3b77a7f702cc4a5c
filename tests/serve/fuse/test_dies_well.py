"""However a server ends: nothing stays mounted, no process stays, and no client hangs."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import mounts
from tests.helpers.mounted import run_with_mounts
from tests.helpers.nobody import as_root
from tests.helpers.repository import ROOT
from tests.helpers.served_tree import CONTENT, ServedTree
from tests.helpers.tasks import wait_until
from untorn.serve.fuse.connection import Connection

pytestmark = [pytest.mark.live, mounts]

ABORTED = errno.ECONNABORTED, errno.ENOTCONN
FULL_RUN = f"""
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.helpers.served_tree import CONTENT, ServedTree
mount("-t", "tmpfs", "-o", "size=4k", "tmpfs", "/run")
Path("/run/full").write_bytes(bytes(4096))
Path("tree").mkdir()
with ServedTree(Path("tree").absolute()) as tree:
    assert (tree.directory / "quick").read_bytes() == CONTENT
    assert tree.end() == 0
    assert not tree.is_mounted()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ServedTree]:
    with ServedTree(tmp_path) as served:
        yield served
        wait_until(lambda: not served.is_mounted(), "it is unmounted")
        served.end()


def errno_of_read(tree: ServedTree) -> int | None:
    try:
        (tree.directory / "quick").read_bytes()
    except OSError as error:
        return error.errno
    return None


def test_it_unmounts_at_its_end(tree: ServedTree) -> None:
    assert (tree.directory / "quick").read_bytes() == CONTENT
    assert tree.end() == 0
    assert not tree.is_mounted()


def test_the_watchdog_unmounts_for_a_server_that_was_killed(tree: ServedTree) -> None:
    tree.server.kill()


def test_a_server_that_is_stopped_is_killed_when_something_waits(tree: ServedTree) -> None:
    tree.stop()
    assert errno_of_read(tree) in ABORTED
    assert tree.server.wait() == -signal.SIGKILL
    assert tree.server.stderr
    assert "no sign of life for 0.5 s: killed" in tree.server.stderr.read()


def test_a_request_that_was_taken_waits_for_a_stopped_server_no_longer(tree: ServedTree) -> None:
    with tree.client_of("slow") as client:
        tree.stop()
        client.wait()
    assert tree.server.wait() == -signal.SIGKILL


def test_a_stopped_server_may_go_on_if_nothing_waited(tree: ServedTree) -> None:
    connection = Connection(os.minor(tree.directory.stat().st_dev))
    wait_until(lambda: not connection.waiting(), "all requests are answered")
    tree.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        tree.server.wait(1)
    tree.server.send_signal(signal.SIGCONT)
    assert (tree.directory / "quick").read_bytes() == CONTENT
    tree.end()


@pytest.mark.parametrize("name", ["slow", "hangs"])
def test_a_client_that_waits_for_ever_can_be_killed(tree: ServedTree, name: str) -> None:
    with tree.client_of(name) as client:
        client.kill()
        assert client.wait() == -signal.SIGKILL
    assert (tree.directory / "quick").read_bytes() == CONTENT
    tree.end()


@pytest.mark.parametrize("name", ["slow", "hangs"])
def test_a_client_that_waits_is_let_go_at_the_end(tree: ServedTree, name: str) -> None:
    with tree.client_of(name) as client:
        assert (tree.directory / "quick").read_bytes() == CONTENT
        assert tree.end() == 0
        assert client.wait() == 1


@pytest.mark.parametrize("options", [[], ["-l"]])
def test_it_ends_when_others_unmount_it(tree: ServedTree, options: list[str]) -> None:
    subprocess.run(["umount", *options, tree.directory], check=True)
    assert tree.server.wait() == 0


@as_root
def test_it_ends_when_its_directory_is_removed_where_it_is_not_mounted(tree: ServedTree) -> None:
    remove = 'umount "$0" && rmdir "$0"'
    subprocess.run(["unshare", "--mount", "sh", "-c", remove, tree.directory], check=True)
    assert tree.server.wait() == 0


def test_what_is_open_does_not_keep_it_mounted(tree: ServedTree) -> None:
    fd = os.open(tree.directory / "quick", os.O_RDONLY)
    try:
        assert tree.end() == 0
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
            os.read(fd, 100)
    finally:
        with suppress(OSError):  # nobody is left to hear it
            os.close(fd)


def test_who_stands_in_it_does_not_keep_it_mounted(tree: ServedTree) -> None:
    with subprocess.Popen(["cat"], cwd=tree.directory, stdin=subprocess.PIPE):
        with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
            tree.directory.rmdir()
        assert tree.end() == 0
        assert not tree.is_mounted()


def test_it_can_be_mounted_again_if_nobody_was_left_to_unmount(tree: ServedTree) -> None:
    (watchdog,) = tree.watchdogs()
    os.kill(watchdog, signal.SIGSTOP)
    tree.server.kill()
    os.kill(watchdog, signal.SIGKILL)
    tree.server.communicate()
    assert errno_of_read(tree) == errno.ENOTCONN
    with ServedTree(tree.directory) as again:
        assert (again.directory / "quick").read_bytes() == CONTENT


def test_a_watchdog_that_died_is_replaced(tree: ServedTree) -> None:
    dead = tree.watchdogs()
    for watchdog in dead:
        os.kill(watchdog, signal.SIGKILL)
    wait_until(lambda: tree.watchdogs() - dead, "there is another watchdog")
    tree.stop()
    assert errno_of_read(tree) in ABORTED
    tree.server.wait()


def test_a_full_run_does_not_matter(tmp_path: Path) -> None:
    run_with_mounts(FULL_RUN, tmp_path)
