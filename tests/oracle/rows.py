"""One row of an errno table: what is there, the call, and the errno that both worlds give."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.oracle.diagrams import lay
from tests.oracle.worlds import CAP_IPC_LOCK, Bounds, KernelWorld, World
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_PRIVATE, PROT_READ

Files = dict[str, tuple[Path, int]]
"""By the name that rows use: a path, and the O_* flags to open it with."""
UNBOUNDED = Bounds()
FOUR_LEVELS = "a processor with four levels of page tables"
GUESSING = "vm.overcommit_memory at 0"
EMPTY_POOL = "vm.nr_hugepages at 0"
RIGHT_TO_LOCK = "CAP_IPC_LOCK"
NEEDS: dict[str, Callable[[KernelWorld], bool]] = {
    FOUR_LEVELS: lambda _: " la57 " not in Path("/proc/cpuinfo").read_text(),
    GUESSING: lambda _: Path("/proc/sys/vm/overcommit_memory").read_text() == "0\n",
    EMPTY_POOL: lambda _: Path("/proc/sys/vm/nr_hugepages").read_text() == "0\n",
    RIGHT_TO_LOCK: lambda world: world.process.has_capability(CAP_IPC_LOCK),
}


@dataclass(frozen=True)
class Row:
    """This call fails with this errno; 0: it does not fail.

    Attributes:
        what: What is wrong, for the test's id.
        there: The window before the call; see diagrams.py.
        page: The window's page that addr is counted from; None: addr is absolute.
        file: The file that is mapped, by name; privately and for reading if arguments do not
            say otherwise.
        bounds: What the call may use.
        partial: The call changes something before it fails.
        needs: What the kernel can only show on some machines; see NEEDS.
        arguments: Of the call; see World for the defaults.
    """

    number: int
    what: str
    there: str = ""
    page: int | None = None
    file: str | None = None
    bounds: Bounds = UNBOUNDED
    partial: bool = False
    needs: str | None = None
    arguments: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{errno.errorcode[self.number] if self.number else 'ok'}: {self.what}"

    def outcome(self, call: str, world: World, files: Files) -> int:
        """Make the call and return its errno, 0 if it had none."""
        if self.needs:
            skip_without(self.needs, world)
        lay(world, self.there)
        arguments = dict(self.arguments)
        if self.page is not None:
            arguments["addr"] = world.page(self.page) + arguments.get("addr", 0)
        if self.file is not None:
            fd = world.open(*files[self.file])
            arguments = {"flags": MAP_PRIVATE, "prot": PROT_READ, "fd": fd, **arguments}
        before = world.maps()
        try:
            with world.within(self.bounds):
                result = getattr(world, call)(**arguments)
        except OSError as error:
            assert self.partial or world.maps() == before, "a call that fails changes nothing"
            return error.errno or 0
        if call == "mmap":
            world.munmap(result, arguments.get("length", PAGE_SIZE))
        return 0


def skip_without(need: str, world: World) -> None:
    """Skip the test if this is a kernel that cannot show it, and say what it would need."""
    if isinstance(world, KernelWorld) and not NEEDS[need](world):
        pytest.skip(f"this needs {need}")


def row(
    number: int,
    what: str,
    there: str = "",
    *,
    page: int | None = None,
    file: str | None = None,
    bounds: Bounds = UNBOUNDED,
    partial: bool = False,
    needs: str | None = None,
    **arguments: int,
) -> Row:
    """Return a Row; what is not its own is an argument of the call."""
    return Row(number, what, there, page, file, bounds, partial, needs, arguments)


def files_in(directory: Path) -> Files:
    """Make the files that rows name."""
    plain = directory / "plain"
    plain.write_bytes(bytes(16 * 4096))
    return {
        "rw": (plain, os.O_RDWR),
        "ro": (plain, os.O_RDONLY),
        "wo": (plain, os.O_WRONLY),
        "directory": (directory, os.O_RDONLY),
        "noexec, no mmap": (Path("/proc/self/maps"), os.O_RDONLY),
    }
