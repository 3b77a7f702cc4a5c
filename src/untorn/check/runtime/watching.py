"""Put the checker's primitives, lock order and fields in the places of the engine's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from untorn.check.runtime import fields, lock_order, primitives
from untorn.locking import lockdep, sync
from untorn.locking.replaced import replaced


@contextmanager
def watching(*, speculated: bool = False) -> Iterator[None]:
    """Let locking/, mm/ and fs/ run on the checker, for as many explorations as fit.

    What is made inside does not work outside, and the other way round.

    Args:
        speculated: As fields.installed().
    """
    with (
        replaced(sync, primitives.OURS),
        replaced(lockdep, lock_order.OURS),
        fields.installed(speculated=speculated),
    ):
        try:
            yield
        finally:
            primitives.Mutex.released = None
