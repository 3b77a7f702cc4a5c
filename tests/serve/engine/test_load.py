"""Python files that make processes of the engine."""

from pathlib import Path

import pytest

from untorn.errors import OutOfReachError
from untorn.serve.engine.guest import guest_of
from untorn.serve.engine.load import load

GOOD = """
from untorn.engine import MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, Process
from untorn.serve.engine.guest import Guest

first = Process()
processes = {1: first, 2: Guest(Process(), comm=b"second")}

def run():
    processes[3] = first.fork()
"""


def write(folder: Path, text: str) -> str:
    path = folder / "file"
    path.write_text(text)
    return str(path)


def test_a_file_makes_processes_and_goes_on_changing_them(tmp_path: Path) -> None:
    emulator = load(write(tmp_path, GOOD))
    assert list(emulator.processes) == [1, 2]
    assert guest_of(emulator.processes[2]).comm == b"second"
    emulator.start().join()
    assert list(emulator.processes) == [1, 2, 3]


def test_the_example_of_the_manual_makes_processes(tmp_path: Path) -> None:
    manual = Path(__file__).parents[3] / "docs/mount.md"
    emulator = load(write(tmp_path, manual.read_text().split("```python\n")[1].split("```")[0]))
    assert list(emulator.processes) == [1, 2]


def test_a_file_need_not_change_anything(tmp_path: Path) -> None:
    emulator = load(write(tmp_path, "processes = {}"))
    emulator.start().join()
    assert not emulator.processes


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    emulator = load(write(tmp_path, "processes = {}\n\ndef run():\n    [][0]\n"))
    with pytest.warns(RuntimeWarning, match=r"file:4: IndexError: list index out of range"):
        emulator.start().join()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it defines no mapping named processes"),
        ("processes = [1]", "it defines no mapping named processes"),
        ("processes = {0: None}", "processes: 0 is no PID"),
        ("processes = {1: 2}", "processes[1] is 2, no Process or Guest"),
        ("import sys\nsys.exit(3)", "file:2: SystemExit: 3"),
        ("processes = {}\nrun = 3", "run is not a function"),
        ("a = 1\nb = a.c\n", "file:2: AttributeError: 'int' object has no attribute 'c'"),
        ("a = 1\nb c\n", "file:2: SyntaxError: invalid syntax"),
        ("def f():\n    raise ValueError('one\\ntwo')\nf()", "file:2: ValueError: one two"),
        ("import nothing_like_this", "file:1: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(OutOfReachError) as refused:
        load(write(tmp_path, text))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(str(tmp_path / "none"))
    with pytest.raises(IsADirectoryError):
        load(str(tmp_path))
