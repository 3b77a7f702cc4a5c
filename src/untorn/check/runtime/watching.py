"""Replace the engine's primitives, lock order and fields by the checker's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from untorn.check.runtime import fields, lock_order, primitives
from untorn.locking import lockdep, sync
from untorn.locking.replaced import replaced


@contextmanager
def watching(*, speculated: bool = False) -> Iterator[None]:
    """Let locking/, mm/ and fs/ run on the checker, for any number of explorations.

    Objects made inside do not work outside, nor the other way round.

    Args:
        speculated: The guarded fields of VMAs are steps, as some reader copies VMAs without a lock.
    """
    points = fields.points_of(speculated=True) if speculated else ()
    with put_in_place({}, {field: fields.Point(*field) for field in points}):
        yield


@contextmanager
def put_in_place(
    ours: Mapping[str, object], instead: Mapping[fields.Field, fields.Watched]
) -> Iterator[None]:
    """Watch, with some primitives and watchers other than the usual ones."""
    with (
        replaced(sync, {**primitives.OURS, **ours}),
        replaced(lockdep, lock_order.OURS),
        fields.installed(instead),
    ):
        try:
            yield
        finally:
            primitives.Mutex.released = None
