"""KTAP: print test results as the kernel's own tests do, with nested plans as subtests.

Source: Documentation/dev-tools/ktap.rst, version 1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ktap:
    """Writes one document line by line, as results come in."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Start a document; nothing is written yet.

        Args:
            write: Takes a line without its newline.
        """
        self._write = write
        self._done: list[int] = []  # results so far in each incomplete plan, outermost first

    @contextmanager
    def plan(self, tests: int) -> Iterator[None]:
        """Print a plan of `tests` tests; call result() inside for each of them.

        A plan inside another one holds the subtests of that one's next test.
        """
        self._done.append(0)
        self._line("KTAP version 1")
        self._line(f"1..{tests}")
        yield
        self._done.pop()

    def result(self, ok: bool, name: str, *, skip: str = "") -> None:
        """Write whether the next test passed, or why it was skipped."""
        self._done[-1] += 1
        reason = f" # SKIP {skip}" if skip else ""
        self._line(f"{'ok' if ok else 'not ok'} {self._done[-1]} {name}{reason}")

    def note(self, text: str) -> None:
        """Write a line for people about the test whose result comes next."""
        self._line(f"# {text}".rstrip())

    def _line(self, text: str) -> None:
        self._write("  " * (len(self._done) - 1) + text)
