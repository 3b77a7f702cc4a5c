"""Kernel images in Debian packages.

Up to 6.18 a linux-image package has the image under /boot, up to 7.1 a linux-binary package, and
since 7.2 it lies in that beside the modules.
"""

import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from untorn.errors import OutOfReachError

MAGIC = b"!<arch>\n"


def extract_kernel(package: Path, target: Path) -> None:
    """Write the kernel image that a .deb holds to a file.

    Raises:
        OutOfReachError: It holds none, or dpkg-deb is missing or cannot read it.
        OSError: The file cannot be written.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise OutOfReachError("no dpkg-deb here to unpack a .deb with") from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            found = _copy_kernel(process.stdout, target)
        except tarfile.TarError as error:
            complaints = process.stderr.read().decode(errors="replace").splitlines()
            raise OutOfReachError(f"{package}: {(complaints or [str(error)])[-1]}") from error
        finally:
            process.kill()
    if not found:
        raise OutOfReachError(
            f"{package}: no kernel image in it; it may be one that only names another"
        )


def _copy_kernel(archive: IO[bytes], target: Path) -> bool:
    with tarfile.open(fileobj=archive, mode="r|") as members:
        for member in members:
            if member.isfile() and is_kernel(PurePosixPath("/", member.name)):
                source = members.extractfile(member)
                assert source is not None
                target.write_bytes(source.read())
                return True
    return False


def is_kernel(path: PurePosixPath) -> bool:
    """Say whether that is where a distribution keeps its kernel image."""
    if path.parent == PurePosixPath("/boot"):
        return path.name.startswith("vmlinuz-")
    return path.match("/usr/lib/modules/*/vmlinuz") or path.match("/lib/modules/*/vmlinuz")
