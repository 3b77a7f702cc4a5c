"""What is said of a failure."""

from __future__ import annotations

import traceback
from pathlib import Path

from untorn.check.ends import Broken
from untorn.check.execution import Deadlock
from untorn.check.fields import DataRace
from untorn.check.strategies.script import NotFollowed

_HERE = str(Path(__file__).parent)


def is_error(failure: BaseException | None) -> bool:
    """Say whether it is an error of the code that runs, and none that the checker raised."""
    return failure is not None and not isinstance(
        failure, Broken | Deadlock | DataRace | NotFollowed
    )


def describe(failure: BaseException | None) -> str:
    """Return what to print, in lines; empty if nothing failed."""
    if failure is None:
        return ""
    if isinstance(failure, DataRace):
        return f"data race: {failure}"
    if not is_error(failure):
        return str(failure)
    frames = traceback.extract_tb(failure.__traceback__)
    places = [frame for frame in frames if not frame.filename.startswith(_HERE)]
    where = f" at {place(places[-1].filename, places[-1].lineno)}" if places else ""
    return f"{type(failure).__name__}: {failure}{where}"


def place(file: str, line: int | None) -> str:
    """Return a place in the source as people like to read it: folder, file and line."""
    path = Path(file)
    return f"{file if file.startswith('<') else f'{path.parent.name}/{path.name}'}:{line}"
