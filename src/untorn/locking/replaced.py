"""Replace attributes of modules and classes for a while.

Code that writes `module.name` sees the replacement; code that imported the name does not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def replaced(owner: ModuleType | type, ours: Mapping[str, object]) -> Iterator[None]:
    """Replace the attributes of a module or class that ours names, and restore them at the end."""
    theirs = {name: vars(owner)[name] for name in ours}
    try:
        for name, each in ours.items():
            setattr(owner, name, each)
        yield
    finally:
        for name, each in theirs.items():
            setattr(owner, name, each)
