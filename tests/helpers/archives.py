"""Unpack the files of an archive."""

from pathlib import Path

from untorn.vm.cpio import File


def write_below(root: Path, files: list[File]) -> None:
    """Write files as if root were /."""
    for file in files:
        target = root / file.path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
