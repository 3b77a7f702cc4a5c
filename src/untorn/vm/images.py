"""Kernel images: whether a file is one, and its release; and the images in Debian packages.

The header of an x86 image has its release. The image is under /boot in a linux-image package up to
6.18, and in a linux-binary package up to 7.1; since 7.2 the latter has it beside the modules.
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
"""Offset of a 16-bit number, which is the offset from _SETUP of the release's text."""
_SETUP = 0x200
_TEXT = 512
"""Bytes that the text may have."""


def release_of(image: Path) -> str:
    """Return the release of a kernel image, as uname -r prints it.

    Raises:
        OutOfReachError: It is no kernel image that a PC can boot.
        OSError: It cannot be read.
    """
    with image.open("rb") as file:
        head = file.read(_SETUP + 0x100)
        if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
            raise OutOfReachError(f"{image}: not an x86 kernel image (a bzImage or vmlinuz)")
        (offset,) = struct.unpack_from("<H", head, _VERSION_AT)
        file.seek(_SETUP + offset)
        text = file.read(_TEXT)
    words = text.partition(b"\0")[0].decode(errors="replace").split()
    if not offset or not words:
        raise OutOfReachError(f"{image}: the kernel image does not say its release")
    return words[0]


def extract_kernel(package: Path, target: Path) -> None:
    """Write the kernel image that a .deb holds to a file.

    Raises:
        OutOfReachError: The package has none, or dpkg-deb is missing or cannot read it.
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
            f"{package}: no kernel image in it; it may only depend on the one that has it"
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
    """Return whether a distribution keeps its kernel image under such a path."""
    if path.parent == PurePosixPath("/boot"):
        return path.name.startswith("vmlinuz-")
    return path.match("/usr/lib/modules/*/vmlinuz") or path.match("/lib/modules/*/vmlinuz")
