"""The status line appears on a terminal, and nowhere else."""

import pytest

from untorn.cli import progress
from untorn.cli.progress import StatusLine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, the last item of a list."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[-1])
    return now


@pytest.fixture
def status(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> StatusLine:
    """A line on a terminal."""
    line = StatusLine()
    monkeypatch.setattr(line, "_shown", True)
    return line


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """The text of the last line; the sequence that clears it is for terminals only."""
    return capsys.readouterr().err.rpartition("\r")[2]


def test_what_is_done_is_told_with_its_number_and_the_time_that_is_left(
    status: StatusLine, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with status:
        status.show("first", 0, 5)
        assert shown(capsys) == "first (1 of 5)"
        clock.append(50.0)
        status.show("third", 2, 5)
        assert shown(capsys) == "third (3 of 5, 1:15 left)"
        status.show("asking for more")
        assert shown(capsys) == "asking for more"
        clock.append(80.0)
        status.show("fifth", 4, 5)
        assert shown(capsys) == "fifth (5 of 5, 0:20 left)"
    assert shown(capsys) == ""


def test_it_is_one_row_and_moves_no_cursor(
    status: StatusLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    status.show("a\x1b[2J" + "b" * 100, 0, 5)
    assert shown(capsys) == "a\\x1b[2J" + "b" * 11


def test_a_line_of_stdout_takes_its_place(
    status: StatusLine, capsys: pytest.CaptureFixture[str]
) -> None:
    status.show("at work")
    status.write("a result")
    written = capsys.readouterr()
    assert (written.out, written.err[-1]) == ("a result\n", "\r")


def test_without_a_terminal_only_results_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    with StatusLine() as status:
        status.show("at work", 1, 2)
        status.write("a result")
    assert capsys.readouterr() == ("a result\n", "")
