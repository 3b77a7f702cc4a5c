"""Processes with all kinds of rights, and others for them to look at.

It runs as root. Its first argument lists what to look at in each process, separated by commas, or
is empty for everything; the others are descriptors, each the root of a procfs, or of what should
look like one. It answers with a line of JSON: `shown`, the PIDs of the processes to look at, by
name; `asked`, for each asker by name, its PID and, for each root, what it saw of each process; or
only `why not`. It keeps all of its processes until its input ends.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522
DAC_OVERRIDE, SETGID, SETUID, NET_RAW, SYS_PTRACE, SYS_ADMIN = 1, 6, 7, 13, 19, 21
PERFMON, CHECKPOINT_RESTORE = 38, 40
NEEDED = {DAC_OVERRIDE, SETGID, SETUID, NET_RAW, SYS_PTRACE, SYS_ADMIN, PERFMON, CHECKPOINT_RESTORE}
ALICE, BOB = 1001, 1002
CONTAINER = 100000
"""User and group ID of a container's root."""

FILES = (
    *("maps", "smaps", "smaps_rollup", "numa_maps", "task/{pid}/maps", "task/{pid}/smaps"),
    *("environ", "auxv", "pagemap", "io", "stat", "status", "statm", "cmdline", "comm"),
    *("limits", "cgroup", "wchan", "task/{pid}/stat"),
)
LINKS = "exe", "cwd", "root", "ns/user", "ns/mnt", "fd/0"
HIDDEN = 26, 27, 28, 35, *range(45, 52)
"""Fields of stat, from 1, that only a process with the right to trace can see."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def set_capabilities(*kept: int) -> None:
    """Keep only these capabilities, effective and permitted."""
    bits = sum(1 << each for each in kept)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)))


def capabilities() -> set[int]:
    """Return the numbers of the effective capabilities."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        bits = int(next(line for line in status if line.startswith("CapEff:")).split()[1], 16)
    return {number for number in range(64) if bits >> number & 1}


def become(uid: int, gid: int, *kept: int, groups: tuple[int, ...] = ()) -> None:
    """Take these IDs, and keep only some of all capabilities."""
    os.setgroups(groups)
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    set_capabilities(*kept)


def less(*given_up: int) -> None:
    """Drop some capabilities."""
    set_capabilities(*capabilities() - set(given_up))


def dumpable(yes: bool) -> None:
    check(libc.prctl(PR_SET_DUMPABLE, int(yes), 0, 0, 0))


def unshare_user() -> None:
    check(libc.unshare(CLONE_NEWUSER))


class Family:
    """The processes that were started."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self.pids: list[int] = []

    def start(self, begin: Callable[[], object]) -> tuple[int, bytes]:
        """Start a process; return its PID, and what it reported once it was set up."""
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            self._live(begin, into)
        os.close(into)
        self.pids.append(pid)
        with os.fdopen(out, "rb") as said:
            return pid, said.read()

    def _live(self, begin: Callable[[], object], into: int) -> None:
        try:
            told = json.dumps(begin()).encode()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a change of ids undoes it
            if os.getppid() != self.parent:
                os._exit(1)
            os.write(into, told)
            os.close(into)
        except BaseException as error:
            os.write(2, f"{begin}: {error!r}\n".encode())
            os._exit(1)
        while True:
            signal.pause()

    def end(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# -- processes to look at


def alice() -> None:
    become(ALICE, ALICE)
    dumpable(True)


def alice_undumpable() -> None:
    become(ALICE, ALICE)


def alice_with_a_capability() -> None:
    become(ALICE, ALICE, NET_RAW)
    dumpable(True)


def root_with_all() -> None:
    dumpable(True)


def mixed_ids() -> None:
    os.setgroups([])
    os.setresgid(ALICE, ALICE, ALICE)
    os.setresuid(ALICE, BOB, ALICE)
    dumpable(True)


def mixed_ids_undumpable() -> None:
    os.setgroups([])
    os.setresgid(ALICE, ALICE, ALICE)
    os.setresuid(ALICE, BOB, ALICE)


def own_namespace_of_alice() -> None:
    become(ALICE, ALICE)
    dumpable(True)
    unshare_user()
    dumpable(True)


def in_container(uid: int, *, may_dump: bool) -> Callable[[], None]:
    """Return what makes a process of a user namespace that root has created."""

    def begin() -> None:
        enter_new_container()
        if uid:
            become(uid, uid)
        dumpable(may_dump)

    begin.__name__ = f"in_container_{uid}_{may_dump}"
    return begin


def enter_new_container() -> None:
    """Enter a new user namespace, whose IDs this process' helper, still root, maps."""
    made, tell = os.pipe()
    pid, helper = os.getpid(), os.fork()
    if helper == 0:
        os.close(tell)
        os.read(made, 1)
        for kind in "uid", "gid":
            with open(f"/proc/{pid}/{kind}_map", "w") as ids:  # noqa: PTH123
                ids.write(f"0 {CONTAINER} 65536")
        os._exit(0)
    unshare_user()
    os.write(tell, b"x")
    for end in made, tell:
        os.close(end)
    assert os.waitpid(helper, 0)[1] == 0
    become_root_here()


def become_root_here() -> None:
    """Be root of the user namespace that was entered, in which root outside is no user."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def zombie() -> None:
    os._exit(0)


SHOWN: dict[str, Callable[[], object]] = {
    "alice": alice,
    "alice, undumpable": alice_undumpable,
    "alice, one capability": alice_with_a_capability,
    "root": root_with_all,
    "mixed ids": mixed_ids,
    "mixed ids, undumpable": mixed_ids_undumpable,
    "alice's own namespace": own_namespace_of_alice,
    "container, root": in_container(0, may_dump=True),
    "container, root, undumpable": in_container(0, may_dump=False),
    "container, a user": in_container(ALICE, may_dump=True),
    "zombie": zombie,
}


# -- askers


def entered(shown: dict[str, int], name: str, uid: int, *given_up: int) -> None:
    """Enter the container of another process, as a user of it."""
    namespace = os.open(f"/proc/{shown[name]}/ns/user", os.O_RDONLY)
    check(libc.setns(namespace, CLONE_NEWUSER))
    os.close(namespace)
    become_root_here()
    if uid:
        become(uid, uid)
    else:
        less(*given_up)


def in_a_namespace_of_her_own() -> None:
    become(ALICE, ALICE)
    unshare_user()


def with_other_fs_ids() -> None:
    os.setgroups([])
    libc.setfsgid(ALICE)
    libc.setfsuid(ALICE)
    set_capabilities()


ASKERS: dict[str, Callable[[dict[str, int]], object]] = {
    "root": lambda _: None,
    "root less ptrace": lambda _: less(SYS_PTRACE),
    "root less all three": lambda _: less(SYS_PTRACE, PERFMON, SYS_ADMIN),
    "root less all": lambda _: set_capabilities(),
    "root in a namespace": lambda _: unshare_user(),
    "alice": lambda _: become(ALICE, ALICE),
    "alice, group of bob": lambda _: become(ALICE, BOB),
    "alice in a namespace": lambda _: in_a_namespace_of_her_own(),
    "alice for files only": lambda _: with_other_fs_ids(),
    "bob": lambda _: become(BOB, BOB),
    "bob, group root": lambda _: become(BOB, BOB, groups=(0, 7)),
    "bob with ptrace": lambda _: become(BOB, BOB, SYS_PTRACE),
    "bob with perfmon": lambda _: become(BOB, BOB, PERFMON),
    "bob with admin": lambda _: become(BOB, BOB, SYS_ADMIN),
    "bob with dac": lambda _: become(BOB, BOB, DAC_OVERRIDE),
    "bob with checkpoint": lambda _: become(BOB, BOB, CHECKPOINT_RESTORE),
    "container's root": lambda shown: entered(shown, "container, root", 0),
    "container's root less ptrace": lambda shown: entered(shown, "container, root", 0, SYS_PTRACE),
    "container's alice": lambda shown: entered(shown, "container, a user", ALICE),
}


def outcome(look: Callable[[], str]) -> str:
    try:
        return look()
    except OSError as error:
        return os.strerror(error.errno or 0)


def read(root: int, path: str) -> str:
    """Return the result of opening and reading a file: how it ended, and what was hidden."""
    file = os.open(path, os.O_RDONLY, dir_fd=root)
    try:
        text = outcome(lambda: told(path, os.read(file, 1 << 16)))
    finally:
        os.close(file)
    return f"open; {text}"


def is_there(root: int, pid: int) -> str:
    os.stat(str(pid), dir_fd=root)
    return "there"


def is_listed(root: int, pid: int) -> str:
    folder = os.open(".", os.O_RDONLY, dir_fd=root)
    try:
        return "listed" if str(pid) in os.listdir(folder) else "not listed"  # noqa: PTH208
    finally:
        os.close(folder)


def told(path: str, text: bytes) -> str:
    """Return the parts of a file's text to compare."""
    if path.endswith("stat"):
        fields = text.rpartition(b") ")[2].split()
        return " ".join(fields[number - 3].decode() for number in HIDDEN)
    return "something" if text else "nothing"


def look(root: int, pid: int, names: set[str]) -> dict[str, str]:
    """Return what a process sees of another, by name."""
    seen = {
        "listed": outcome(lambda: is_listed(root, pid)),
        "": outcome(lambda: is_there(root, pid)),
    }
    for name in filter(names.__contains__, FILES):
        path = f"{pid}/{name.format(pid=pid)}"
        seen[name] = outcome(lambda path=path: read(root, path))  # type: ignore[misc]
    for name in filter(names.__contains__, LINKS):
        path = f"{pid}/{name}"
        seen[name] = outcome(lambda path=path: os.readlink(path, dir_fd=root))  # type: ignore[misc]
    return seen


def answers(
    begin: Callable[[dict[str, int]], object],
    shown: dict[str, int],
    roots: list[int],
    names: set[str],
) -> object:
    begin(shown)
    return [{name: look(root, pid, names) for name, pid in shown.items()} for root in roots]


def why_not(family: Family) -> str:
    """Return why these processes are impossible here, "" if they are possible."""
    missing = NEEDED - capabilities()
    if missing:
        return f"takes the capabilities {sorted(missing)}"
    return "" if family.start(own_namespace_of_alice)[1] else "no user namespaces for users"


def main() -> None:
    names = set(sys.argv[1].split(",")) if sys.argv[1] else {*FILES, *LINKS}
    roots = [int(argument) for argument in sys.argv[2:]]
    family = Family()
    try:
        reason = why_not(family)
        if reason:
            print(json.dumps({"why not": reason}), flush=True)
            return
        shown = {name: family.start(begin)[0] for name, begin in SHOWN.items()}
        asked = {}
        for name, begin in ASKERS.items():
            pid, seen = family.start(lambda begin=begin: answers(begin, shown, roots, names))  # type: ignore[misc]
            asked[name] = pid, json.loads(seen)
        print(json.dumps({"shown": shown, "asked": asked}), flush=True)
        sys.stdin.read()
    finally:
        family.end()


if __name__ == "__main__":
    main()
