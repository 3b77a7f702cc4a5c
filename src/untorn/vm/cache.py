"""The user's cache folder: what can be had again, and what it holds is whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from untorn.errors import OutOfReachError


def cache_folder() -> Path:
    """Return where this package keeps what it can get again; it need not exist.

    Source: XDG Base Directory Specification.

    Raises:
        OutOfReachError: The user has no home folder.
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if configured.is_absolute():
        return configured / "untorn"
    try:
        return Path.home() / ".cache" / "untorn"
    except RuntimeError as error:
        raise OutOfReachError(
            "nowhere to keep kernels: no home folder, and no XDG_CACHE_HOME"
        ) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` if all goes well, and is gone if not.

    Raises:
        OSError: The folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    try:
        try:
            yield unfinished
        except OSError as error:
            # A write to a full disk does not say where, or names what is gone in a moment.
            if not error.filename or str(error.filename).startswith(str(unfinished)):
                error.filename = str(path)
            raise
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place, whole; one that was there stays as it was if that fails.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, unfinished = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        Path(unfinished).rename(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        Path(unfinished).unlink(missing_ok=True)
