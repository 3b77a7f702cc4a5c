"""Kernel images: whether a file is one, and of which release; and those in Debian packages.

An x86 image tells that in its header. Up to 6.18 a linux-image package has the image under /boot,
up to 7.1 a linux-binary package, and since 7.2 it lies in that beside the modules.
Source: Documentation/arch/x86/boot.rst.
"""

import struct
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from untorn.errors import OutOfReachError

DEB_MAGIC = b"!<arch>\n"
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT = 0x20E
"""Offset of a 16-bit number: where the text of the release lies, counted from _SETUP."""
_SETUP = 0x200
_TEXT = 512
"""Bytes that the text has at most."""


def release_of(image: Path) -> str:
    """Return the release of a kernel image, as uname -r tells it.

    Raises:
        OutOfReachError: It is no kernel image that a PC can boot.
        OSError: It cannot be read.
    """
    with image.open("rb") as file:
        head = file.read(_SETUP + 0x100)
        if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
            raise OutOfReachError(f"{image}: no x86 kernel image (a bzImage or vmlinuz)")
        (offset,) = struct.unpack_from("<H", head, _VERSION_AT)
        file.seek(_SETUP + offset)
        text = file.read(_TEXT)
    words = text.partition(b"\0")[0].decode(errors="replace").split()
    if not offset or not words:
        raise OutOfReachError(f"{image}: a kernel image that does not tell its release")
    return words[0]


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
