"""Keeps in memory what a guest's kernel prints on the first serial port, and finds why it died."""

import os
import re

_TEXT = 1 << 20
"""How many bytes of the end to look at."""
_TAIL = 20
"""Lines."""
_CAUSES = (
    r"Initramfs unpacking failed.*",
    r"Kernel panic.*",
    r"Oops: .*",
    r".*-compressed data is corrupt",
    r"BUG: .*",
    r"(?m)^qemu\S*: (?!warning).*",
)
"""Lines that say why, the most telling first."""
_INT3 = re.compile(r"Oops: int3|int3: 0000")


class Console:
    """A file in memory that QEMU appends to."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("console")

    def text(self) -> str:
        """Return what was printed, at most its last mebibyte."""
        size = os.fstat(self.fd).st_size
        return os.pread(self.fd, _TEXT, max(0, size - _TEXT)).decode(errors="replace")

    def tail(self) -> str:
        """Return the last lines that were printed: a traceback of PID 1, if there is one."""
        return "\n".join(self.text().splitlines()[-_TAIL:])

    def cause(self) -> str:
        """Return the line that says why the guest died; "no word of the kernel" if none does."""
        text = self.text()
        found = (re.search(cause, text) for cause in _CAUSES)
        return next((match[0].strip() for match in found if match), "no word of the kernel")

    def is_int3(self) -> bool:
        """Return whether it died of a false breakpoint: that is QEMU's fault, see Mode.FAST."""
        return _INT3.search(self.text()) is not None

    def close(self) -> None:
        """Drop it."""
        os.close(self.fd)
