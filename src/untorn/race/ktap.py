"""KTAP: test results as the kernel's own tests print them, nested as deep as they are.

Source: Documentation/dev-tools/ktap.rst, version 1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ktap:
    """Writes one document, line by line, as results come in."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Begin nothing yet.

        Args:
            write: Takes a line without its newline.
        """
        self._write = write
        self._done: list[int] = []  # results of each plan that is not complete, outermost first

    @contextmanager
    def plan(self, tests: int) -> Iterator[None]:
        """Announce how many tests follow: result() is called inside for each.

        A plan inside another one is that of the next test's own tests.
        """
        self._done.append(0)
        self._line("KTAP version 1")
        self._line(f"1..{tests}")
        yield
        self._done.pop()

    def result(self, ok: bool, name: str, *, skip: str = "") -> None:
        """Write how the next test ended, or why it was skipped."""
        self._done[-1] += 1
        reason = f" # SKIP {skip}" if skip else ""
        self._line(f"{'ok' if ok else 'not ok'} {self._done[-1]} {name}{reason}")

    def note(self, text: str) -> None:
        """Write a line about the test whose result comes next, for people to read."""
        self._line(f"# {text}".rstrip())

    def _line(self, text: str) -> None:
        self._write("  " * (len(self._done) - 1) + text)
