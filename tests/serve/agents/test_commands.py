"""Programs that only know /proc print the same with our mount in its place."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.agents import Watched, over_proc

pytestmark = pytest.mark.live

ENOUGH = 10
_PIDS = r"\b(?:PID|CHILD)\b"
_ADDR = r"^.*?PERF"  # who, when and where
_CLOCK = r"\d\d:\d\d:\d\d(?: [AP]M)?"


class Asked(NamedTuple):
    """A command; PID and CHILD stand for those of the watched processes."""

    command: str
    keep: str = ""
    """A pattern of the lines that matter: those about the watched, with stable numbers."""
    drop: str = r"(?!)"
    """A pattern of what changes by itself, as Pss does while other processes come and go."""


ASKED = [
    Asked("pmap PID"),
    Asked("pmap -x PID"),
    Asked("pmap -X PID CHILD | awk '$4 ~ /:/ {$8 = \"\"; print}'"),  # without Pss
    Asked("ps -o pss,pid,user,stat,nlwp,vsz,rss,exe,comm,args -p PID,CHILD", drop=r"^ *\d+"),
    Asked("ps -o pid,uss -p CHILD"),
    Asked("ps -eL -o pid,tid,ppid,user,wchan:20,args", _PIDS),
    Asked("top -b -n1 -p PID,CHILD", _PIDS, r"\d+\.\d+ +\d+\.\d+ +\d+:\d\d\.\d\d"),
    Asked("free -b", "Mem", r"(?<=[0-9] ) +.*"),
    Asked("vmstat -s", "total memory"),
    Asked("pgrep -a -P PID"),
    Asked("pstree -p PID"),
    Asked("pwdx PID CHILD"),
    Asked("sysctl kernel.pid_max vm.max_map_count"),
    Asked("prlimit -p PID"),
    Asked("lsof -bwnP -p PID,CHILD"),
    Asked("pidstat -r -s -t -p PID", _PIDS, _CLOCK + r"|\d+\.\d+"),
    Asked("atop -R -P PRM 1 1", _PIDS, r"^PRM \S+ \d+ \S+ \S+ \d+|(?<= y )\d+ "),
    Asked("gdb -nx -batch -p CHILD -ex 'info proc mappings' -ex 'info proc exe'"),
    Asked("jcmd -l", drop=r"^\d+"),
    Asked(
        "perf record -q -o- -p PID sleep 0.1 | perf script -i- --show-mmap-events", "MMAP", _ADDR
    ),
]


def said(prefix: list[str], asked: Asked, watched: Watched) -> list[str]:
    """Return what a command prints about the watched processes, if it can be used here."""
    command = asked.command.replace("PID", str(watched.pid)).replace("CHILD", str(watched.child))
    done = subprocess.run([*prefix, "sh", "-c", command], capture_output=True, text=True)
    if done.returncode:
        return [f"exit status {done.returncode}", *done.stderr.splitlines()]
    text = done.stdout.replace(str(watched.pid), "PID").replace(str(watched.child), "CHILD")
    lines = [line for line in text.splitlines() if re.search(asked.keep, line)]
    return [re.sub(asked.drop, "*", line) for line in lines]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.command.replace(" ", "_"))
def test_a_command_says_the_same(asked: Asked, still: Watched, tree: Path) -> None:
    name = asked.command.split()[0]
    if not shutil.which(name):
        pytest.skip(f"no {name} here")
    for _ in range(ENOUGH):  # the kernel's own counts may lag a little
        proc = said(["unshare", "--mount"], asked, still)
        if "exit status" in proc[0]:
            pytest.skip(f"{name} cannot be used here: {proc}")
        ours = said(over_proc(tree), asked, still)
        if ours == proc:
            break
    assert ours == proc
    assert ours
