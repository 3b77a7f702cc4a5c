"""The header of an x86 kernel image: whether a file is one, and of which release.

Source: Documentation/arch/x86/boot.rst.
"""

import struct
from pathlib import Path

from untorn.errors import OutOfReachError

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
