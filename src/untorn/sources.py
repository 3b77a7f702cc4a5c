"""A digest of this package's sources, by which two processes check that they run the same code.

It includes the tables that come with the package: simulations depend on them.
"""

import hashlib
import platform
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent


@cache
def digest(*names: str) -> str:
    """Return a digest of sources and of Python's version.

    Args:
        names: Modules and packages in this package; none for all.
    """
    found = hashlib.sha256(platform.python_version().encode())
    for name in names or (".",):
        for path in _files(_ROOT / name):
            found.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _files(module: Path) -> list[Path]:
    if module.is_file():
        return [module]
    return sorted(path for path in module.rglob("*") if path.suffix in (".py", ".json"))
