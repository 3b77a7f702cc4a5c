"""Maps as other kernels print them, and how they differ from Linux's: made-up processes."""

from typing import NamedTuple


class Text(NamedTuple):
    """A text, the same text as Linux prints it, and the first difference of each kind."""

    text: bytes
    linux: bytes
    told: list[str]


def linux(*lines: str) -> bytes:
    """Return lines as Linux prints them; each is given as numbers and perhaps a name."""
    made = b""
    for line in lines:
        numbers, name = line.encode().split(b" ", 5)[:5], line.encode().split(b" ", 5)[5:]
        prefix = b" ".join(numbers) + b" "
        made += b"%-72s %s\n" % (prefix, name[0]) if name else prefix + b"\n"
    return made


_BUSYBOX = linux(
    "00400000-00407000 r--p 00000000 00:00 0 /usr/bin/busybox",
    "0059d000-0059e000 rw-p 00000000 00:00 0 [heap]",
    "7ffffecba000-7ffffecbc000 rw-p 00000000 00:00 0",
)
_CAT = linux(
    "00200000-0020b000 r-xp 00001000 fd:00 12 /bin/cat",
    "80020b000-80022b000 rw-p 00000000 00:00 0",
)
_NAME = "the name; Linux prints names in column 74"

OTHER_KERNELS = {
    "asterinas": Text(
        b"400000-407000 r--p 00000000 00:00 0" + b" " * 38 + b"/usr/bin/busybox\n"
        b"59d000-59e000 rw-p 00000000 00:00 0" + b" " * 38 + b"[heap]\n"
        b"7ffffecba000-7ffffecbc000 rw-p 00000000 00:00 0 \n",
        _BUSYBOX,
        ["line 1, column 1: an address of 6 digits; Linux prints at least 8 (%08x)"],
    ),
    "managarm": Text(
        b"200000-20b000 r-xp 00001000 fd:00 12    /bin/cat\n"
        b"80020b000-80022b000 rw-- 00000000 00:00 0\n",
        _CAT,
        [
            "line 1, column 1: an address of 6 digits; Linux prints at least 8 (%08x)",
            "line 1, column 41: " + _NAME,
            "line 2, column 24: a hyphen; Linux prints p (private) or s (shared) there",
            "line 2, column 42: the line ends after the inode; Linux prints a space there",
        ],
    ),
    "moss": Text(
        b"00200000-0020b000 r-xp 00001000 fd:00 12 /bin/cat\n"
        b"80020b000-80022b000 rw-p 00000000 00:00 0\n",
        _CAT,
        [
            "line 1, column 42: " + _NAME,
            "line 2, column 42: the line ends after the inode; Linux prints a space there",
        ],
    ),
    "linprocfs of FreeBSD": Text(
        b"00200000-0020b000 r-xp 00001000 fd:00 12     /bin/cat\n"
        b"80020b000-80022b000 rw-p 00000000 00:00 0\n",
        _CAT,
        [
            "line 1, column 46: " + _NAME,
            "line 2, column 42: the line ends after the inode; Linux prints a space there",
        ],
    ),
    "NetBSD": Text(
        b"0000000000200000-000000000020b000 r-xp 0000000000001000 fd:00 12     /bin/cat\n"
        b"000000080020b000-000000080022b000 rw-p 0000000000000000 00:00 0     \n",
        _CAT,
        [
            "line 1, column 1: an address of 16 digits; Linux prints 8 digits, and more only",
            "line 1, column 40: an offset of 16 digits; Linux prints 8 digits of it",
            "line 1, column 70: " + _NAME,
            "line 2, column 64: 5 spaces at the end; Linux prints one space after the inode",
        ],
    ),
    "illumos": Text(
        b"00200000-0020b000 r-xp 00001000 fd:000 12" + b" " * 33 + b"/bin/cat\n"
        b"80020b000-80022b000 rw-p 00000000 00:000 0 \n",
        _CAT,
        [
            "line 1, column 33: 'fd:000'; Linux prints 2 digits each, and more only where",
            "line 1, column 75: " + _NAME,
        ],
    ),
    "gVisor": Text(_CAT, _CAT, []),
    "WSL 1": Text(
        b"00200000-0020b000 r-xp 00001000 fd:00 12" + b" " * 26 + b"/bin/cat\n"
        b"80020b000-80022b000 rw-p 00000000 00:00 0 \n",
        _CAT,
        ["line 1, column 67: " + _NAME],
    ),
    "Linux 2.4": Text(
        b"00200000-0020b000 r-xp 00001000 fd:00 12" + b" " * 9 + b"/bin/cat\n"
        b"bffff000-c0000000 rwxp 00000000 00:00 0\n",
        linux(
            "00200000-0020b000 r-xp 00001000 fd:00 12 /bin/cat",
            "bffff000-c0000000 rwxp 00000000 00:00 0",
        ),
        ["line 2, column 40: the line ends after the inode; Linux prints a space there"],
    ),
    "Linux 2.6 on 32 bits": Text(
        b"0804b000-0806c000 rw-p 00000000 00:00 0" + b" " * 10 + b"[heap]\n"
        b"b7605000-b7e07000 rw-p 00000000 00:00 0" + b" " * 10 + b"[stack:6594]\n"
        b"ffffe000-fffff000 ---p 00000000 00:00 0" + b" " * 10 + b"[vdso]\n",
        linux(
            "0804b000-0806c000 rw-p 00000000 00:00 0 [heap]",
            "b7605000-b7e07000 rw-p 00000000 00:00 0 [stack:6594]",
            "ffffe000-fffff000 ---p 00000000 00:00 0 [vdso]",
        ),
        [],
    ),
    "Linux without an MMU": Text(
        b"00200000-0020b000 rw-S 00001000 fd:00 12" + b" " * 9 + b"/dev/fb0\n",
        linux("00200000-0020b000 rw-s 00001000 fd:00 12 /dev/fb0"),
        ["line 1, column 22: a capital S; Linux prints p (private) or s (shared) there"],
    ),
    "grsecurity": Text(
        b"00000000-00000000 r-xp 00000000 fe:01 1058864" + b" " * 28 + b"/usr/bin/ls\n"
        b"00000000-00000000 rw-p 00000000 00:00 0 \n",
        b"",
        ["line 1, column 1: a hidden range, all zeros; Linux prints the addresses (grsec"],
    ),
    "an old Linux with an empty stack": Text(
        b"00200000-0020b000 r-xp 00001000 fd:00 12" + b" " * 33 + b"/bin/cat\n"
        b"7fff1000e000-7fff1000e000 rw-p 00000000 00:00 0" + b" " * 26 + b"[stack]\n",
        linux("00200000-0020b000 r-xp 00001000 fd:00 12 /bin/cat"),
        ["line 2, column 14: an empty range, which ends where it begins; Linux prints no empty"],
    ),
    "a hobby kernel without files": Text(
        b"0x400000-0x407000 r-- /bin/init\n0x59d000-0x59e000 rw- [heap]\n0x600000-0x601000 rw-\n",
        linux(
            "00400000-00407000 r--p 00000000 00:00 0 /bin/init",
            "0059d000-0059e000 rw-p 00000000 00:00 0 [heap]",
            "00600000-00601000 rw-p 00000000 00:00 0",
        ),
        [
            "line 1, column 1: an address of 6 digits; Linux prints at least 8 (%08x)",
            "line 1, column 1: 0x; Linux prints no 0x before a number",
            "line 1, column 22: nothing; Linux prints p (private) or s (shared) there",
            "line 1, column 23: '/bin/init'; Linux prints the device there (%02x:%02x)",
            "line 1, column 23: '/bin/init'; Linux prints the offset there (%08x)",
        ],
    ),
}
