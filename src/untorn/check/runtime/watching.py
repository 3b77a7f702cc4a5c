"""Put the checker's primitives, lock order and fields in the places of the engine's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from untorn.check.runtime import fields, lock_order, primitives
from untorn.locking import lockdep, sync


@contextmanager
def watching(*, speculated: bool = False) -> Iterator[None]:
    """Let locking/, mm/ and fs/ run on the checker, for as many explorations as fit.

    What is made inside does not work outside, and the other way round.

    Args:
        speculated: As fields.installed().
    """
    with (
        _replaced(sync, primitives.OURS),
        _replaced(lockdep, lock_order.OURS),
        fields.installed(speculated=speculated),
    ):
        try:
            yield
        finally:
            primitives.Mutex.released = None


@contextmanager
def _replaced(module: ModuleType, ours: dict[str, object]) -> Iterator[None]:
    """Let names of a module mean something else: all who use them say `module.name`."""
    theirs = {name: getattr(module, name) for name in ours}
    try:
        vars(module).update(ours)
        yield
    finally:
        vars(module).update(theirs)
