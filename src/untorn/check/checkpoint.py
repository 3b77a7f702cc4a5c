"""Checkpoint: a file with the progress of explorations, so that they can continue after any stop.

A JSON object: `code` is the digest of the code that decides how schedules go, `explorations` has
the parts of each work, as in parts.py; a part without an outcome is still to be explored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path
from time import monotonic
from typing import Any

from untorn.check.code import code_hash
from untorn.check.parts import Part
from untorn.check.strategies.branch import Branch, Request, Root
from untorn.check.strategies.depth_first import Rest
from untorn.check.work import Start, Work, WorkOutcome, start_of
from untorn.errors import UntornError

_EVERY = 1.0
"""Seconds between two writes, at least."""
_SHARE = 0.05
"""Share of the time that writing may take."""


class CheckpointError(UntornError):
    """A file is no checkpoint, or of different code or explorations; the message says which."""


class Checkpoint:
    """The progress of explorations.

    Attributes:
        parts: The first part of each work, with all parts that were cut from it.
    """

    def __init__(self, works: Sequence[Work], path: Path | None = None) -> None:
        """Begin, or continue from a file if it exists.

        Args:
            works: The works to explore.
            path: Path of the file; None for no file.

        Raises:
            CheckpointError: See there.
            OSError: The file cannot be read, or not be written.
        """
        self.parts = {work: Part(start_of(work)) for work in works}
        self._path = path
        self._next = 0.0
        if path is not None:
            with suppress(FileNotFoundError):
                self.parts = _read(path, works)
            self.save()

    def save_now_and_then(self) -> None:
        """Write the file unless it was written recently."""
        if monotonic() >= self._next:
            self.save()

    def save(self) -> None:
        """Write the file. Raises OSError; the file is then as it was before."""
        if self._path is None:
            return
        begun = monotonic()
        explorations = [
            {"work": astuple(work), "part": _of_part(part)} for work, part in self.parts.items()
        ]
        content = {"code": code_hash(), "explorations": explorations}
        _replace(self._path, json.dumps(content, separators=(",", ":")))
        done = monotonic()
        self._next = done + max(_EVERY, (done - begun) / _SHARE)


def _replace(path: Path, text: str) -> None:
    """Replace or create a file: after any interruption it is the old or the new one."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


_FIGURES = tuple(each.name for each in fields(WorkOutcome) if each.name != "work")


def _of_part(part: Part) -> dict[str, Any]:
    outcome, root = part.outcome, part.root
    return {
        "start": part.start,
        "outcome": outcome and [getattr(outcome, name) for name in _FIGURES],
        "requests": part.requests,
        "root": root and astuple(root),
        "parts": [_of_part(each) for each in part.parts],
    }


def _read(path: Path, works: Sequence[Work]) -> dict[Work, Part]:
    try:
        content: Any = json.loads(path.read_bytes())
        code, explorations = content["code"], content["explorations"]
        found = {}
        for each in explorations:
            work = Work(*each["work"])
            found[work] = _part(work, each["part"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: no checkpoint of the checker") from error
    if code != code_hash():
        raise CheckpointError(f"{path}: of other code, or another Python: explore anew")
    if list(found) != list(works):
        raise CheckpointError(f"{path}: of other scenarios, or another strategy")
    return found


def _part(work: Work, content: dict[str, Any], up: Part | None = None) -> Part:
    figures = content["outcome"]
    part = Part(
        _start(content["start"]),
        up,
        None if figures is None else _outcome(work, figures),
        requests=tuple(Request(*each) for each in content["requests"]),
    )
    if content["root"] is not None:
        path, backtrack, done, sleep, start, requests, left = content["root"]
        asked = [Request(*each) for each in requests]
        part.root = Root(tuple(path), backtrack, done, sleep, start, asked, left)
    part.parts = [_part(work, each, part) for each in content["parts"]]
    return part


def _outcome(work: Work, figures: list[Any]) -> WorkOutcome:
    outcome = dict(zip(_FIGURES, figures, strict=True))
    return WorkOutcome(work, **outcome | {"schedule": tuple(outcome["schedule"])})


def _start(content: list[Any] | None) -> Start:
    if content is None:
        return None
    steps, more = content
    return Branch(tuple(steps), more) if isinstance(more, int) else Rest(tuple(steps), tuple(more))
