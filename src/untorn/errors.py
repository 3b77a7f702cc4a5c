"""Our own exceptions; whatever a system call would refuse is an OSError with Linux's errno.

UntornError
|-- LockOrderError   a lock was asked for against the order in mm/__init__.py, or under RCU
|-- InvariantError   check_invariants() found a tree or an mm broken
`-- OutOfReachError       this machine, kernel or user cannot do what was asked
    `-- NotModelledError  the engine does not know what Linux would do
"""

import os


class UntornError(Exception):
    """Base of the project's own exceptions."""


class LockOrderError(UntornError):
    """A lock was asked for against the lock order; the message shows both chains."""


class InvariantError(UntornError):
    """A structure contradicts itself; the message names the field and both values."""


class OutOfReachError(UntornError):
    """A request cannot be met here; the message says why."""


class NotModelledError(OutOfReachError):
    """Something that is not modelled, such as a driver, would decide; the message says what.

    The VMAs are as before the call, unless a page is what is not modelled: calls that populate have
    changed them by then.
    """


def os_error(number: int) -> OSError:
    """Return the OSError for an errno, with its usual text."""
    return OSError(number, os.strerror(number))


def describe(error: Exception) -> str:
    """Return what failed and why in one line, without an OSError's errno."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
