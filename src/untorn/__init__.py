"""Read maps of real processes coherently and gently; see untorn.engine for the engine's own.

The public names are listed in __init__.pyi only, and are imported on first use: importing this
package imports nothing but itself.

From the top down: __main__, cli, targets, vm, bench, sim, check, conform, race, serve, engine,
syscalls, fs, mm, locking, reader, spread, processes, judge, maps, releases, shrink, sources,
errors.
"""

from collections.abc import Callable
from functools import cache

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    try:
        find, names = _public()
    except ImportError as error:  # in a guest, which has no libraries
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from error
    found = names if name == "__all__" else find(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()[1]})


@cache
def _public() -> tuple[Callable[[str], object], list[str]]:
    """Return a function that finds a public name, and a list of all of them."""
    from lazy_loader import attach_stub

    find, _, names = attach_stub(__name__, __file__)
    return find, sorted(names)
