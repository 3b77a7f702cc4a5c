"""The user's cache folder: everything in it can be fetched again, and is complete or absent."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from untorn.errors import OutOfReachError


def cache_folder() -> Path:
    """Return the folder where this package keeps what it can fetch again; it need not exist.

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
    """Yield an empty folder to fill; it becomes `path` if all goes well, and is removed if not.

    Raises:
        OSError: The folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    try:
        try:
            yield unfinished
        except OSError as error:
            # An error on a full disk names no file, or one that is about to be removed.
            if not error.filename or str(error.filename).startswith(str(unfinished)):
                error.filename = str(path)
            raise
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically: if that fails, the old one stays as it was.

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
