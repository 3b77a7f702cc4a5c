from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from untorn.bench.calibrate.table import Calibration
from untorn.cli import main
from untorn.sim.costs import CostTable
from untorn.vm.bench import VmBenchTarget

FOUND = {"rounds": {"syscall": [90.0, 110.0, 100.0]}, "kernel": "6.18.1", "cpu": "some CPU"}


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measure nothing, and keep the cache in a temporary folder."""
    monkeypatch.setattr(Calibration, "here", classmethod(lambda cls: cls.of(FOUND)))
    monkeypatch.setattr(
        VmBenchTarget, "calibrate", lambda self, virtual_time: Calibration.of(FOUND, self.name)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def calibrate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", "--calibrate", *arguments])


@pytest.mark.parametrize("target", ["sim", "live"])
def test_the_running_kernel_is_measured_and_the_table_kept(target: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"

    result = calibrate("--target", target, "--costs", str(path))

    assert result.exit_code == 0, result.output
    table = CostTable.load(path)
    assert table.costs.syscall == 100
    assert table.cpu == "some CPU"
    assert f"--costs {path}" in result.output.splitlines()[-1]


def test_what_was_measured_is_shown_with_its_spread_and_what_is_assumed() -> None:
    output = calibrate().output

    assert "Linux 6.18.1, some CPU" in output
    (syscall,) = [line.split() for line in output.splitlines() if "syscall" in line][:1]
    assert syscall == ["syscall", "100.0", "90.0", "110.0"]
    assert "not measured, but assumed: user_read" in " ".join(output.split())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "live.json"),
        (["--target", "vm:6.12"], "vm-6.12.json"),
        (["--target", "vm:6.12", "--virtual-time"], "vm-6.12-virtual-time.json"),
        (["--target", "vm:/boot/my kernel"], "vm-boot-my-kernel.json"),
    ],
)
def test_without_a_file_it_is_one_in_the_cache(
    arguments: list[str], name: str, tmp_path: Path
) -> None:
    assert calibrate(*arguments).exit_code == 0

    assert CostTable.load(tmp_path / "untorn" / "costs" / name).costs.syscall == 100


@pytest.mark.parametrize(
    ("targets", "reason"),
    [(["engine"], "measures a kernel"), (["sim", "live"], "measures one target")],
)
def test_what_cannot_be_calibrated_is_wrong_usage(targets: list[str], reason: str) -> None:
    result = calibrate(*(word for target in targets for word in ("--target", target)))

    assert result.exit_code == 2
    assert reason in result.output
