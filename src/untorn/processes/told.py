"""Whether what a worker does is still wanted: a long call looks now and then."""

from collections.abc import Callable


def _never() -> bool:
    return False


_told: Callable[[], bool] = _never
"""Set before a call is made; a process makes one at a time."""


def told_to_stop() -> bool:
    """Say whether this call is to return what it has; False in a process that is no worker."""
    return _told()


def tell_by(told: Callable[[], bool]) -> None:
    """Let told() say that to what this process does from now on."""
    global _told
    _told = told
