"""The text of a failure."""

from __future__ import annotations

import traceback
from pathlib import Path

from untorn.check.oracle.ends import BrokenError
from untorn.check.runtime.execution import DeadlockError
from untorn.check.runtime.fields import DataRaceError
from untorn.check.strategies.script import NotFollowedError

_CHECKER = Path(__file__).parents[1]


def is_checkers(file: str) -> bool:
    """Return whether a file is the checker's own, and so of no interest."""
    return Path(file).is_relative_to(_CHECKER)


def source_line(file: str, line: int | None) -> str:
    """Return a place in the source; in the engine's, relative to its root."""
    path, root = Path(file), _CHECKER.parent
    return f"{path.relative_to(root) if path.is_relative_to(root) else file}:{line}"


def is_error(failure: BaseException | None) -> bool:
    """Return whether an error comes from the code under test, not from the checker."""
    return failure is not None and not isinstance(
        failure, BrokenError | DeadlockError | DataRaceError | NotFollowedError
    )


def describe(failure: BaseException | None) -> str:
    """Return the lines to print; empty if nothing failed."""
    if failure is None:
        return ""
    if isinstance(failure, DataRaceError):
        return f"data race: {failure}"
    if not is_error(failure):
        return str(failure)
    frames = traceback.extract_tb(failure.__traceback__)
    theirs = [frame for frame in frames if not is_checkers(frame.filename)]
    where = f" at {source_line(theirs[-1].filename, theirs[-1].lineno)}" if theirs else ""
    return f"{type(failure).__name__}: {failure}{where}"
