"""Many clients read many processes at the same time."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers.fuse_mount import mounts
from tests.helpers.mount_command import mount_command
from tests.helpers.tasks import wait_until

pytestmark = [pytest.mark.live, mounts]

CLIENTS, PROCESSES, ROUNDS = 8, 20, 2
FILES = "maps", "smaps", "smaps_rollup"
OLD = "--max-age", "600"
CLIENT = """
import random, sys
rounds, *files = sys.argv[1:]
for _ in range(int(rounds)):
    random.shuffle(files)
    for each in files:
        with open(each, "rb") as file:
            assert file.read().count(b" ") > 10, each
"""


def test_one_look_serves_all_who_ask_at_the_same_time(tmp_path: Path) -> None:
    with mount_command(tmp_path, *OLD) as command, sleepers(PROCESSES) as pids:
        files = [str(tmp_path / str(pid) / name) for pid in pids for name in FILES]
        program = [sys.executable, "-c", CLIENT, str(ROUNDS), *files]
        clients = [subprocess.Popen(program) for _ in range(CLIENTS)]
        assert [client.wait() for client in clients] == [0] * CLIENTS
        command.send_signal(signal.SIGUSR1)
        assert command.stderr
        costs = command.stderr.readline()
    assert re.match(f"looks: {len(files)}, failed: 0, late for somebody: 0; ", costs), costs


@contextmanager
def sleepers(number: int) -> Iterator[list[int]]:
    """Yield idle processes, each once it runs the program that it should."""
    with ExitStack() as stack:
        children = [stack.enter_context(subprocess.Popen(["sleep", "1000"])) for _ in range(number)]
        for child in children:
            stack.callback(child.kill)
        command = b"sleep\x001000\0"
        wait_until(
            lambda: all(
                Path(f"/proc/{child.pid}/cmdline").read_bytes() == command for child in children
            )
        )
        yield [child.pid for child in children]
