"""Race tests in a guest: seeds, lines as they come, and results."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from untorn.cli import main
from untorn.errors import OutOfReachError
from untorn.vm import race
from untorn.vm.guest import GuestDiedError
from untorn.vm.kernels import Kernel
from untorn.vm.qemu import Machine, Mode

Script = Callable[[int, Callable[[Any], None]], dict[str, Any]]
PASSED = {"passed": 1, "failed": 0, "skipped": 0, "reasons": {}}


def say_one_line(seed: int, report: Callable[[Any], None]) -> dict[str, Any]:
    report(("step", ("split", 0, 1)))
    report(("line", f"ok {seed} split"))
    return PASSED


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Machine]]:
    """The machines that were booted; each does what `script` says."""
    booted: list[Machine] = []

    class Guest:
        script: Script = staticmethod(say_one_line)

        def answer(self, timeout: float, report: Callable[[Any], None]) -> dict[str, Any]:
            return self.script(booted[-1].seed, report)

        def close(self) -> None:
            left.append(True)

    left: list[bool] = []

    def boot(machine: Machine, requests: Sequence[bytes]) -> tuple[Guest, str]:
        booted.append(machine)
        return Guest(), "a replay is emulated"

    kernel = Kernel(Path("/k"), "6.12.117", "a package")
    monkeypatch.setattr(race, "boot", boot)
    monkeypatch.setattr(race, "find_kernel", lambda name, tell: kernel)
    monkeypatch.setattr(race, "qemu_version", lambda: "QEMU")
    monkeypatch.setattr(race, "GUEST", Guest, raising=False)
    yield booted
    assert len(left) == len(booted)


def script(monkeypatch: pytest.MonkeyPatch, what: Script) -> None:
    monkeypatch.setattr(race.GUEST, "script", staticmethod(what))  # type: ignore[attr-defined]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["race", "--target", "vm:6.12", *arguments])


def test_lines_come_with_what_is_needed_to_have_them_again(guests: list[Machine]) -> None:
    done = run("--seed", "7")
    assert done.exit_code == 0
    first, second, third = done.stdout.splitlines()
    assert first == "# vm:6.12: Linux 6.12.117, a package"
    assert second.startswith("# seed 7 of QEMU, with Python 3.")
    assert third == "ok 7 split"
    assert [(each.mode, each.seed) for each in guests] == [(Mode.REPLAY, 7)]


def test_each_seed_is_a_guest_and_a_subtest(guests: list[Machine]) -> None:
    done = run("--seed", "7", "--seeds", "2")
    results = [line for line in done.stdout.splitlines() if not line.lstrip().startswith("#")]
    assert results == [
        "KTAP version 1",
        "1..2",
        "  ok 7 split",
        "ok 1 seed 7",
        "  ok 8 split",
        "ok 2 seed 8",
    ]
    assert [each.seed for each in guests] == [7, 8]


def test_a_seed_that_fails_fails_the_run_but_not_the_others(
    guests: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_first(seed: int, report: Callable[[Any], None]) -> dict[str, Any]:
        return PASSED | {"failed": int(seed == 0)}

    script(monkeypatch, fail_first)
    done = run("--seeds", "2")
    assert done.exit_code == 1
    assert [line for line in done.stdout.splitlines() if "seed" in line and "#" not in line] == [
        "not ok 1 seed 0",
        "ok 2 seed 1",
    ]


def test_a_test_that_there_is_not_is_refused_before_a_guest_is_booted(
    guests: list[Machine],
) -> None:
    done = run("--test", "odd")
    assert (done.exit_code, guests) == (2, [])
    assert "no test odd; tests: split" in done.stderr


def test_a_reader_is_not_disturbed_in_virtual_time(guests: list[Machine]) -> None:
    done = run("--disturb")
    assert (done.exit_code, guests) == (2, [])
    assert "try other seeds" in done.stderr


@pytest.mark.parametrize("error", [GuestDiedError("the guest died"), OutOfReachError("no memory")])
def test_a_guest_that_dies_is_one_line(
    guests: list[Machine], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def die(seed: int, report: Callable[[Any], None]) -> dict[str, Any]:
        raise error

    script(monkeypatch, die)
    done = run()
    assert (done.exit_code, done.stderr) == (1, f"Error: {error}\n")


def test_no_kernel_is_looked_for_without_qemu(
    guests: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise OutOfReachError("no QEMU")

    monkeypatch.setattr(race, "qemu_version", none)
    monkeypatch.setattr(race, "find_kernel", None)  # would fail if it were called
    done = run()
    assert (done.exit_code, done.stderr) == (1, "Error: no QEMU\n")


def test_a_guest_does_not_know_what_its_kernel_is_called(
    guests: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    boot = vars(race)["boot"]  # the one that the fixture put there

    def note(machine: Machine, requests: Sequence[bytes]) -> Any:
        asked.extend(requests)
        return boot(machine, requests)

    monkeypatch.setattr(race, "boot", note)

    def one_line(seed: int, report: Callable[[Any], None]) -> dict[str, Any]:
        report(("line", "ok 1 vm:KERNEL maps"))
        return PASSED

    script(monkeypatch, one_line)
    for kernel in "6.12", "6.12.117":
        done = CliRunner().invoke(main, ["race", "--target", f"vm:{kernel}"])
        assert done.stdout.endswith(f"ok 1 vm:{kernel} maps\n")
    assert asked[0] == asked[1]


def test_a_kernel_must_be_named(guests: list[Machine]) -> None:
    done = CliRunner().invoke(main, ["race", "--target", "vm:"])
    assert (done.exit_code, guests) == (2, [])
    assert "no target vm:; targets: engine, engine:RELEASE, live, vm:KERNEL" in done.stderr


def test_an_interrupted_run_says_so_and_boots_no_more(
    guests: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seed: int, report: Callable[[Any], None]) -> dict[str, Any]:
        raise KeyboardInterrupt

    script(monkeypatch, interrupt)
    done = run("--seeds", "3")
    assert (done.exit_code, done.stderr, len(guests)) == (1, "interrupted\n", 1)
