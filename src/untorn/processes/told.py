"""Whether the result of a worker's call is still wanted; a long call checks now and then."""

from collections.abc import Callable


def _never() -> bool:
    return False


_told: Callable[[], bool] = _never
"""Set before a call is made; a process makes one call at a time."""


def told_to_stop() -> bool:
    """Return whether this call should return what it has; False in a process that is no worker."""
    return _told()


def tell_by(told: Callable[[], bool]) -> None:
    """From now on, let told() answer for this process."""
    global _told
    _told = told
