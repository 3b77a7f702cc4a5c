"""What is said of a failure."""

from __future__ import annotations

import traceback

from untorn.check.ends import BrokenError
from untorn.check.execution import DeadlockError
from untorn.check.fields import DataRaceError
from untorn.check.place import is_checkers, place
from untorn.check.strategies.script import NotFollowedError


def is_error(failure: BaseException | None) -> bool:
    """Say whether it is an error of the code that runs, and none that the checker raised."""
    return failure is not None and not isinstance(
        failure, BrokenError | DeadlockError | DataRaceError | NotFollowedError
    )


def describe(failure: BaseException | None) -> str:
    """Return what to print, in lines; empty if nothing failed."""
    if failure is None:
        return ""
    if isinstance(failure, DataRaceError):
        return f"data race: {failure}"
    if not is_error(failure):
        return str(failure)
    frames = traceback.extract_tb(failure.__traceback__)
    places = [frame for frame in frames if not is_checkers(frame.filename)]
    where = f" at {place(places[-1].filename, places[-1].lineno)}" if places else ""
    return f"{type(failure).__name__}: {failure}{where}"
