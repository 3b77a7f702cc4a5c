"""Maps of real processes, read coherently and gently; see untorn.engine for an engine's own.

Importing this package imports nothing but itself: its names are imported when one is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from untorn._public import *  # noqa: F403 (listed once, there)
    from untorn._public import __all__ as __all__

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    public = import_module("untorn._public")
    if name == "__all__" or name in public.__all__:
        found: object = getattr(public, name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("untorn._public").__all__})
