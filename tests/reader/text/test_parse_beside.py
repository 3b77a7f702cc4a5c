"""Parsing beside reading: the same columns and refusals, and no thread that is left."""

import _thread
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.maps_texts import TEXTS
from tests.helpers.tasks import wait_until
from untorn.reader.text import parse_beside
from untorn.reader.text.columns import Columns
from untorn.reader.text.parse import parse
from untorn.reader.text.parse_beside import LONG, ParserBeside, may_help

LINE = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
LONG_TEXT = LINE * (LONG // len(LINE) + 1)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.fixture(autouse=True)
def _none_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is a processor to spare, whatever this machine does; afterwards no thread is left."""
    monkeypatch.setattr(parse_beside, "may_help", lambda: True)
    before = threads()
    yield
    wait_until(lambda: threads() <= before, "no thread is left")


def beside(texts: list[bytes]) -> Columns:
    with ParserBeside() as parser:
        for text in texts:
            parser.add([text])
        return parser.columns(texts)


def test_a_long_text_has_a_helper_and_a_short_one_has_none() -> None:
    for text, helpers in (LINE, 0), (LONG_TEXT, 1):
        with ParserBeside() as parser:
            before = threads()
            parser.add([text])
            parser.add([LONG_TEXT])
            assert threads() == before + helpers


@given(st.lists(TEXTS, max_size=4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_columns_are_those_of_the_whole_text(texts: list[bytes], long: bool) -> None:
    given_texts = [LONG_TEXT] * long + texts
    assert beside(given_texts) == parse(given_texts)


def test_more_lines_than_were_expected_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_beside, "_LINES", 100)
    texts = [LONG_TEXT] * 9
    assert beside(texts) == parse(texts)


@pytest.mark.parametrize("parts", [1, 5])
def test_a_refusal_counts_lines_from_the_first(parts: int) -> None:
    texts = [LONG_TEXT] * parts + [LINE.replace(b"rw", b"?w")]
    number = parts * LONG_TEXT.count(b"\n") + 1
    with pytest.raises(ValueError, match=f"^line {number}, column 27: "):
        beside(texts)
    with pytest.raises(ValueError, match=r"^line 1, column 27: "):
        beside([LINE.replace(b"rw", b"?w") + LONG_TEXT, *texts])


@pytest.mark.parametrize("error", [TimeoutError, KeyboardInterrupt])
def test_the_helper_ends_with_a_look_that_is_late_or_interrupted(
    error: type[BaseException],
) -> None:
    def look() -> None:
        with ParserBeside() as parser:
            parser.add([LONG_TEXT])
            raise error

    with pytest.raises(error):
        look()


def test_where_no_thread_can_be_had_the_reader_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: object, arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with ParserBeside() as parser:
        parser.add([LONG_TEXT])
        assert parser.columns([LONG_TEXT]) == parse([LONG_TEXT])


@pytest.mark.parametrize(
    ("processors", "load", "helps"),
    [({0}, 0.0, False), ({0, 1}, 0.9, True), ({2, 3}, 1.9, False), (set(range(8)), 6.0, True)],
)
def test_a_helper_needs_an_idle_processor(
    processors: set[int], load: float, helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: processors)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
    assert may_help() == helps


def test_where_the_load_is_not_told_nobody_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[float, float, float]:
        raise OSError("Load averages are unobtainable")

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "getloadavg", refuse)
    assert not may_help()
