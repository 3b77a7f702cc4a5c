"""Who may look into a guest, through a mount."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.fuse_mount import mounted
from tests.helpers.nobody import as_root
from untorn.maps.page import PAGE_SIZE
from untorn.mm.mman import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ
from untorn.serve.engine.guest import Guest
from untorn.serve.engine.tree import EngineRoot
from untorn.syscalls import Process

pytestmark = [pytest.mark.live, as_root]
OWNER, GROUP, OTHER = 1001, 1002, 1003


@pytest.fixture(scope="module")
def guest() -> Iterator[Path]:
    """Yield the directory of OWNER's guest, in a folder that everybody may enter."""
    process = Process()
    process.mmap(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)
    root = EngineRoot({1: Guest(process, OWNER, GROUP, comm=b"guest")})
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        with mounted(root, place):
            yield place / "1"


def may(options: list[str], *paths: Path) -> list[bool]:
    """Return which files a program may open that runs under setpriv with these options."""
    loop = 'for path; do ( : < "$path" ) 2>/dev/null && echo yes || echo no; done'
    command = ["setpriv", *options, "sh", "-c", loop, "sh", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.stderr.startswith("setpriv: "):
        pytest.skip(done.stderr.strip())
    return [word == "yes" for word in done.stdout.split()]


def as_somebody_else(
    command: list[str], stdin: IO[bytes] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            user=OTHER,
            group=OTHER,
            extra_groups=[],
            stdin=stdin,
            capture_output=True,
            text=True,
        )
    except PermissionError as error:
        pytest.skip(f"cannot become somebody else: {error}")


def someone(uid: int, gid: int, *capabilities: str) -> list[str]:
    options = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    if capabilities:
        listed = ",".join(f"+{name}" for name in capabilities)
        options += [f"--inh-caps={listed}", f"--ambient-caps={listed}"]
    return options


@pytest.mark.parametrize(
    ("who", "maps", "pagemap"),
    [
        (someone(OWNER, GROUP), True, True),
        (someone(OWNER, OTHER), False, False),
        (someone(OTHER, GROUP), False, False),
        (someone(OTHER, OTHER), False, False),
        (someone(OTHER, OTHER, "sys_ptrace"), True, False),
        (someone(OTHER, OTHER, "perfmon"), True, False),
        (someone(OTHER, OTHER, "sys_admin"), True, False),
        (someone(OTHER, OTHER, "dac_override"), False, False),
        (someone(OTHER, OTHER, "sys_ptrace", "dac_read_search"), True, True),
        (someone(OWNER, OTHER, "sys_ptrace"), True, True),
        ([], True, True),
        (["--bounding-set=-all", "--inh-caps=-all"], False, False),
    ],
)
def test_who_may_look(guest: Path, who: list[str], maps: bool, pagemap: bool) -> None:
    vma_files = [guest / name for name in ("maps", "smaps", "smaps_rollup", "numa_maps")]
    asked = [*vma_files, guest / "task/1/maps", guest / "pagemap", guest / "comm"]
    assert may(who, *asked) == [maps] * 5 + [pagemap, True]


def test_capabilities_in_another_user_namespace_do_not_count(guest: Path) -> None:
    command = ["unshare", "--user", "--map-root-user", "head", "-c1", str(guest / "maps")]
    done = as_somebody_else(command)
    if done.stderr.startswith("unshare: "):
        pytest.skip(done.stderr.strip())
    assert "Permission denied" in done.stderr


def test_what_was_opened_may_be_read_by_anybody(guest: Path) -> None:
    with (guest / "maps").open("rb") as maps:
        assert as_somebody_else(["cat"], maps).stdout.endswith("\n")


def test_files_and_directories_are_the_owners(guest: Path) -> None:
    for path in guest, guest / "task", guest / "maps", guest / "task/1/maps":
        command = ["stat", "-c%u %g", str(path)]
        assert as_somebody_else(command).stdout == f"{OWNER} {GROUP}\n"
    assert (guest / "maps").stat().st_mode & 0o777 == 0o444
    assert (guest / "pagemap").stat().st_mode & 0o777 == 0o400
    assert guest.stat().st_mode & 0o777 == 0o555
