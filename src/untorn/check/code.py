"""A digest of the code that decides how a schedule goes: schedules are valid only for that code."""

from untorn.sources import digest

_CODE = (
    "check",
    "judge",
    "fs",
    "mm",
    "releases",
    "locking",
    "maps",
    "syscalls.py",
    "errors.py",
)


def code_hash() -> str:
    """Return a digest of the sources that decide it, and of Python's version."""
    return digest(*_CODE)
