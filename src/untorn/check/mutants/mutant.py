"""Mutant: the production code with one step of the protocol changed while it is applied.

A mutant is a patch of one function's text. The function object stays and gets other code, so all
modules that imported it run the changed one; the source files are not touched.
"""

from __future__ import annotations

import inspect
import linecache
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FunctionType
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        name: Its name on the command line.
        about: What is changed, in a line.
        function: The function that is changed.
        changes: Pieces of its text, each occurring once, and their replacements.
        scenarios: The scenarios that show it; those of an equivalent mutant are explored
            completely.
        equivalent: Why it is as good as the original; empty if it is not.
        base: A mutant of another function that is applied with it.
    """

    name: str
    about: str
    function: Any
    changes: tuple[tuple[str, str], ...]
    scenarios: tuple[str, ...]
    equivalent: str = ""
    base: Mutant | None = None

    def text(self) -> str:
        """Return the changed source of the function.

        Raises:
            ValueError: The function is no longer the one that was to be changed.
        """
        text = textwrap.dedent(inspect.getsource(self.function))
        for before, after in self.changes:
            if text.count(before) != 1:
                raise ValueError(f"mutant {self.name}: not there once: {before!r}")
            text = text.replace(before, after)
        return text

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the function be the changed one."""
        with self.base.applied() if self.base else nullcontext():
            yield from self._applied_alone()

    def _applied_alone(self) -> Iterator[None]:
        text, file = self.text(), f"<mutant {self.name}>"
        lines = ["\n", *text.splitlines(keepends=True)]
        linecache.cache[file] = len(text), None, lines, file
        names: dict[str, Any] = {}
        code = compile("from __future__ import annotations\n" + text, file, "exec")
        exec(code, dict(self.function.__globals__), names)
        changed: FunctionType = names[self.function.__name__]
        before = self.function.__code__
        # Places in the code are known by the name of the function, with its class.
        self.function.__code__ = changed.__code__.replace(co_qualname=before.co_qualname)
        try:
            yield
        finally:
            self.function.__code__ = before
