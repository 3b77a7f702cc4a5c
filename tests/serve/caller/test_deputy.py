import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import pytest

from tests.helpers.askers import Seen, Told, askers, hiding_procfs, opened
from tests.helpers.askers_program import ALICE, BOB, FILES, is_listed, is_there, outcome, told
from tests.helpers.nobody import as_root
from tests.helpers.repository import ROOT
from untorn.serve.caller.callers import Subject
from untorn.serve.caller.deputy import Deputy
from untorn.serve.fuse.node import Caller

pytestmark = [as_root, pytest.mark.live]

HIDDEN = "maps", "io", "stat", "status"
"""What to compare where processes are hidden, or where we have few rights."""
OTHER_NAMESPACE = {"container's root", "container's root less ptrace", "container's alice"}
STRICTER = {(asker, "container, a user") for asker in OTHER_NAMESPACE}
"""Where we refuse what the kernel allows: to users of a namespace that is not ours."""
NOT_LISTED = {
    *STRICTER,
    *((alice, "alice's own namespace") for alice in ("alice", "alice, group of bob")),
    ("container's root", "container, root"),
}
"""Callers that count as strangers in a list of processes: their right comes from a namespace."""
REFUSED = {
    *("not listed", "No such file or directory", "Operation not permitted", "Permission denied"),
    *("open; Permission denied", "open; 1 1 0 0 0 0 0 0 0 0 0", "open; 0 0 0 0 0 0 0 0 0 0 0"),
}


@pytest.fixture(scope="module")
def roots() -> Iterator[list[int]]:
    """Return the procfs, and those that hide processes."""
    with ExitStack() as stack:
        hiding = (stack.enter_context(hiding_procfs(how)) for how in (1, 2, 4))
        yield [stack.enter_context(opened("/proc")), *hiding]


@pytest.fixture(scope="module")
def told_by_askers(roots: list[int]) -> Iterator[Told]:
    with askers(*roots) as told:
        yield told


@pytest.fixture
def deputy(roots: list[int]) -> Deputy:
    return Deputy(roots[0])


def open_as(deputy: Deputy, caller: Caller, subject: Subject, name: str) -> int:
    with deputy.acting_as(caller, subject):
        return os.open(name, os.O_RDONLY, dir_fd=subject.directory)


def check_open(deputy: Deputy, caller: Caller, subject: Subject, name: str) -> None:
    os.close(open_as(deputy, caller, subject, name))


def seen_through(deputy: Deputy, root: int, caller: Caller, pid: int, files: Iterable[str]) -> Seen:
    """Return what the deputy sees for a caller: some files, and whether the process is there."""

    def read(name: str, path: str) -> str:
        file = open_as(deputy, caller, subject, path)
        try:
            with deputy.acting_as(caller, subject):
                text = outcome(lambda: told(name, os.read(file, 1 << 16)))
        finally:
            os.close(file)
        return f"open; {text}"

    def there() -> str:
        with deputy.acting_as(caller, subject):
            return is_there(root, pid)

    def listed() -> str:
        with deputy.acting_as(caller):
            return is_listed(root, pid)

    with opened(str(pid), root) as directory:
        subject = Subject(pid, directory)
        seen = {"listed": outcome(listed), "": outcome(there)}
        for name in files:
            path = name.format(pid=pid)
            seen[name] = outcome(lambda name=name, path=path: read(name, path))  # type: ignore[misc]
        return seen


def differences(deputy: Deputy, root: int, told: Told, number: int, files: Iterable[str]) -> str:
    """Yield a line per difference between what a deputy and the kernel show in one of the roots."""
    wrong = []
    for asker, asked in told.asked.items():
        for shown, pid in told.shown.items():
            for name, ours in seen_through(deputy, root, asked.caller, pid, files).items():
                kernels = asked.seen[number][shown][name]
                strict = (asker, shown) in (NOT_LISTED if name == "listed" else STRICTER)
                if ours != kernels and not (strict and ours in REFUSED):
                    wrong.append(f"{asker} of {shown}, {name}: {ours}, not {kernels}")
    return "\n".join(wrong)


def test_a_caller_sees_what_the_kernel_shows_it(
    deputy: Deputy, roots: list[int], told_by_askers: Told
) -> None:
    wrong = differences(deputy, roots[0], told_by_askers, 0, FILES)
    assert not wrong, wrong


@pytest.mark.parametrize("number", [1, 2, 3], ids=["noaccess", "invisible", "ptraceable"])
def test_what_is_hidden_from_a_caller_is_hidden_by_us(
    deputy: Deputy, roots: list[int], told_by_askers: Told, number: int
) -> None:
    wrong = differences(deputy, roots[number], told_by_askers, number, HIDDEN)
    assert not wrong, wrong


def test_our_own_process_is_shown_to_who_has_our_rights(
    deputy: Deputy, roots: list[int], told_by_askers: Told
) -> None:
    us = Subject(os.getpid(), roots[0])
    check_open(deputy, told_by_askers.asked["root"].caller, us, f"{us.pid}/maps")
    for asker in "bob", "root less ptrace", "root in a namespace":
        with pytest.raises(PermissionError):
            check_open(deputy, told_by_askers.asked[asker].caller, us, f"{us.pid}/maps")


@pytest.mark.parametrize("shown", ["root", "alice, undumpable"])
def test_a_caller_that_we_do_not_see_has_no_capabilities(
    deputy: Deputy, roots: list[int], told_by_askers: Told, shown: str
) -> None:
    pid = told_by_askers.shown[shown]
    root = told_by_askers.asked["root"].pid
    with opened(str(pid), roots[0]) as directory:
        for unseen in Caller(0, 0, 0), Caller(ALICE, ALICE, 0), Caller(ALICE, ALICE, root):
            with pytest.raises(PermissionError):
                check_open(deputy, unseen, Subject(pid, directory), "maps")


def test_every_process_may_look_at_itself(
    deputy: Deputy, roots: list[int], told_by_askers: Told
) -> None:
    pid = told_by_askers.shown["alice, undumpable"]
    with opened(str(pid), roots[0]) as directory:
        subject = Subject(pid, directory)
        check_open(deputy, Caller(ALICE, ALICE, pid), subject, "maps")
        with pytest.raises(PermissionError):  # it is root's file, with mode 0400
            check_open(deputy, Caller(ALICE, ALICE, pid), subject, "environ")
        with pytest.raises(PermissionError):
            check_open(deputy, Caller(BOB, BOB, pid), subject, "maps")


def test_no_caller_lends_us_its_effective_id(deputy: Deputy, told_by_askers: Told) -> None:
    for asker in "bob", "bob with ptrace", "alice in a namespace", "container's root":
        with deputy.acting_as(told_by_askers.asked[asker].caller):
            assert os.geteuid() == 0xFFFFFFFE


def test_who_is_confined_is_judged_as_a_stranger(
    monkeypatch: pytest.MonkeyPatch, roots: list[int], told_by_askers: Told
) -> None:
    labels = {"self": b"unconfined"}
    monkeypatch.setattr(
        "untorn.serve.caller.callers.label_of",
        lambda folder, thread: labels.get(thread, b"docker-default (enforce)"),
    )
    deputy, root = Deputy(roots[0]), told_by_askers.asked["root"]
    with opened(str(told_by_askers.shown["alice"]), roots[0]) as alice:
        subject = Subject(told_by_askers.shown["alice"], alice)
        with pytest.raises(PermissionError):
            check_open(deputy, root.caller, subject, "maps")
        labels[str(root.pid)] = b"unconfined"
        check_open(deputy, root.caller, subject, "maps")
    with opened(str(root.pid), roots[0]) as itself:
        labels[str(root.pid)] = b"docker-default (enforce)"
        check_open(deputy, root.caller, Subject(root.pid, itself), "maps")


LIMITED = """
import json, os
from tests.helpers.askers_program import *
from tests.serve.caller.test_deputy import *
become(1500, 1500, 6, 7, SYS_PTRACE, SYS_ADMIN)  # and CAP_SETGID, CAP_SETUID
root = os.open("/proc", os.O_PATH)
deputy, (callers, pids) = Deputy(root), json.loads(input())
print(json.dumps([
    [seen_through(deputy, root, Caller(*caller), pid, HIDDEN) for pid in pids]
    for caller in callers
]))
"""


def test_who_has_few_rights_shows_nobody_more(told_by_askers: Told) -> None:
    callers = [asked.caller[:3] for asked in told_by_askers.asked.values()]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        input=json.dumps([callers, list(told_by_askers.shown.values())]),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for (asker, asked), seen in zip(
        told_by_askers.asked.items(), json.loads(done.stdout), strict=True
    ):
        for shown, ours in zip(told_by_askers.shown, seen, strict=True):
            for name, text in ours.items():
                kernels = asked.seen[0][shown][name]
                assert text == kernels or text in REFUSED, f"{asker} of {shown}, {name}"
