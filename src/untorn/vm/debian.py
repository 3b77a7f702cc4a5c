"""Debian's kernels: which suite has which, and how to fetch one. apt.py does the work."""

import json
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from untorn.errors import OutOfReachError
from untorn.vm import apt
from untorn.vm.cache import cache_folder, replace_file

_FRESH = 24 * 3600
"""Seconds for which a list of packages counts as fresh."""
_NAME = re.compile(r"linux-(image|binary)-(\d[\w.+~]*(?:-\d+)?-(?:cloud-)?amd64)")
"""Packages with a kernel; not those with debug symbols or real-time scheduling."""
_VERSION = re.compile(r"\d+(\.\d+)*(~rc\d+)?")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that holds a kernel."""

    name: str
    version: str
    suite: str
    uri: str
    sha256: str
    size: int
    """Bytes to download."""

    @property
    def release(self) -> str:
        """Return the kernel's release, which is part of the package's name."""
        match = _NAME.fullmatch(self.name)
        assert match is not None
        return match[2]

    @property
    def upstream(self) -> str:
        """Return the version of Linux, without the package's revision."""
        return self.version.partition("-")[0]

    @property
    def series(self) -> str:
        """Return the first two numbers of the version of Linux."""
        return ".".join(self.upstream.partition("~")[0].split(".")[:2])

    def age(self) -> tuple[list[int], bool, bool, str]:
        """Return a sort key: larger for a newer kernel; among equals, for the smaller package."""
        numbers, _, candidate = self.upstream.partition("~")
        dotted = [int(number) for number in numbers.split(".")]
        return dotted, not candidate, "-cloud-" in self.name, self.version

    def is_called(self, name: str) -> bool:
        """Return whether that is its name, its release, or the beginning of its version."""
        match = _NAME.fullmatch(name)
        if name == self.release or (match and match[2] == self.release):
            return True
        wanted = _VERSION.fullmatch(name)
        return bool(wanted) and f"{self.upstream}.".startswith((f"{name}.", f"{name}~"))


def packages(*, refresh: bool = False) -> list[Package]:
    """Return what the suites have, the newest last; ask once a day, or to refresh.

    If they cannot be reached, return an older answer.

    Raises:
        OutOfReachError: apt is not here, or no suite can be reached and none ever was.
        OSError: The cache folder cannot be written.
    """
    file = cache_folder() / "debian.json"
    known = _read(file)
    if refresh or not known or time.time() - file.stat().st_mtime > _FRESH:
        try:
            known = list(_ask())
        except OutOfReachError:
            if not known:
                raise
        else:
            listed = [asdict(package) for package in known]
            replace_file(file, json.dumps(listed, indent=1).encode())
    return known


def _read(file: Path) -> list[Package]:
    """Return the packages of a saved list; none if the file is missing or damaged."""
    try:
        return [Package(**each) for each in json.loads(file.read_text())]
    except (OSError, ValueError, TypeError):
        return []


def _ask() -> list[Package]:
    found: dict[tuple[str, str], Package] = {}
    for suite, base, stanza in apt.stanzas(_NAME):
        package = Package(
            stanza["Package"],
            stanza["Version"],
            suite,
            base + stanza["Filename"],
            stanza["SHA256"],
            int(stanza["Size"]),
        )
        found.setdefault((package.name, package.version), package)
    return sorted(_with_image(found.values()), key=Package.age)


def _with_image(found: Collection[Package]) -> list[Package]:
    """Leave out packages that only depend on the one that has the image of the same release."""
    binaries = {each.release for each in found if each.name.startswith("linux-binary-")}
    return [
        each
        for each in found
        if each.name.startswith("linux-binary-") or each.release not in binaries
    ]


def newest(name: str, available: Iterable[Package]) -> Package:
    """Return the newest package of that name, release or version.

    Raises:
        OutOfReachError: There is none; the message lists what there is.
    """
    known = list(available)
    called = [each for each in known if each.is_called(name)]
    if not called:
        series = ", ".join(dict.fromkeys(each.series for each in known))
        raise OutOfReachError(f"no kernel {name} in Debian's suites; they have {series}")
    return max(called, key=Package.age)


def download(package: Package, target: Path) -> None:
    """Fetch a package to a file, and check its checksum.

    Raises:
        OutOfReachError: It cannot be fetched.
    """
    apt.download(package.uri, package.sha256, target)
