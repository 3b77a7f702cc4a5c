"""Let names of modules and classes mean something else for a while.

All who use a module's names as `module.name` follow.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def replaced(owner: ModuleType | type, ours: Mapping[str, object]) -> Iterator[None]:
    """Put objects in the place of what a module or class has under their names."""
    theirs = {name: vars(owner)[name] for name in ours}
    try:
        for name, each in ours.items():
            setattr(owner, name, each)
        yield
    finally:
        for name, each in theirs.items():
            setattr(owner, name, each)
