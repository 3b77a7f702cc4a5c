"""Kernels by name: a file, a folder, a Debian package or release, the running one, a cached one."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from untorn.errors import OutOfReachError
from untorn.processes.endings import endings_held
from untorn.vm import debian
from untorn.vm.cache import cache_folder, new_folder
from untorn.vm.debian import Package
from untorn.vm.images import DEB_MAGIC, extract_kernel, release_of

HOST = "host"
"""Name of the running kernel."""
HOST_IMAGES = ("/boot/vmlinuz-{release}", "/lib/modules/{release}/vmlinuz")
_IN_A_TREE = ("vmlinuz", "bzImage", "arch/x86/boot/bzImage", "arch/x86_64/boot/bzImage")
_IN_AN_UNPACKED_PACKAGE = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted."""

    image: Path
    release: str
    """As uname -r prints it."""
    origin: str
    """Where it comes from: a package and its suite, or a path."""


def find_kernel(name: str, tell: Tell) -> Kernel:
    """Return the kernel of that name; fetch it if only Debian has it.

    Args:
        name: A path (of an image, a .deb, a kernel tree or an unpacked package), `host`, the name
            of a Debian package, a release as uname -r prints it, or a version: that means the
            newest cached kernel of it, or else the newest that Debian has.
        tell: Called before anything that takes a while.

    Raises:
        OutOfReachError: There is no such kernel, or it cannot be fetched.
        OSError: It cannot be read, or the cache not written.
    """
    if name == HOST:
        return _from_file(host_image())
    path = _expanded(name)
    if os.sep in name or path.exists():
        return _from_path(path)
    return _newest_cached(name) or fetch(name, tell)


def fetch(name: str, tell: Tell) -> Kernel:
    """Return the newest kernel of a version, release or package that Debian has; see find_kernel().

    It is fetched unless the cache has that very package. If Debian no longer has it, or cannot be
    reached, the cache may still have one.
    """
    tell("asking Debian's suites for their kernels")
    try:
        package = debian.newest(name, debian.packages())
    except OutOfReachError:
        cached = _newest_cached(name)
        if cached is None:
            raise
        return cached
    if package not in cached_packages():
        package = _download(package, name, tell)
    return _of_package(package)


def _download(package: Package, name: str, tell: Tell) -> Package:
    """Put a package's kernel into the cache, or that of the package that replaced it in Debian."""
    tell(f"fetching {package.name} {package.version} from {package.suite}")
    with endings_held(), TemporaryDirectory(prefix="untorn-") as folder:
        file = Path(folder, "kernel.deb")
        try:
            debian.download(package, file)
        except OutOfReachError:
            newer = debian.newest(name, debian.packages(refresh=True))
            if newer == package:
                raise
            return _download(newer, name, tell)
        _keep(file, _folder(package.name), package)
    return package


def _newest_cached(name: str) -> Kernel | None:
    cached = [package for package in cached_packages() if package.is_called(name)]
    return _of_package(max(cached, key=Package.age)) if cached else None


def cached_packages() -> list[Package]:
    """Return the Debian packages whose kernels are in the cache, undamaged; the newest last."""
    folders = cache_folder().glob("kernels/*")
    kept = [about["package"] for about in map(_undamaged, folders) if about]
    return sorted((Package(**package) for package in kept if package), key=Package.age)


def _undamaged(folder: Path) -> dict[str, Any] | None:
    """Return the record of a cached kernel; None if it is incomplete."""
    try:
        about = json.loads((folder / "about.json").read_text())
        return about if about["sha256"] == _sum(folder / "vmlinuz") else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def host_image() -> Path:
    """Return the image of the running kernel.

    Raises:
        OutOfReachError: It is at none of its usual places.
    """
    places = [Path(place.format(release=os.uname().release)) for place in HOST_IMAGES]
    for place in places:
        if place.exists():
            return place
    tried = " and ".join(map(str, places))
    raise OutOfReachError(f"no image of the running kernel here: there is no {tried}")


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~ of nobody
        raise OutOfReachError(f"{name}: {error}") from error


def _from_path(path: Path) -> Kernel:
    if not path.is_dir():
        return _from_file(path)
    patterns = (*_IN_A_TREE, *_IN_AN_UNPACKED_PACKAGE)
    # A tree has its image where it is built and, as a link, where it is looked for.
    found = (image for pattern in patterns for image in sorted(path.glob(pattern)))
    images = list({image.resolve(): image for image in found}.values())
    if len(images) != 1:
        there = f"more than one: {', '.join(map(str, images))}" if images else "none"
        raise OutOfReachError(f"{path}: which kernel? There is {there}")
    return _from_file(images[0])


def _from_file(path: Path) -> Kernel:
    with path.open("rb") as file:
        is_package = file.read(len(DEB_MAGIC)) == DEB_MAGIC
    if not is_package:
        return Kernel(path, release_of(path), str(path))
    folder = _folder(_sum(path))
    if not _undamaged(folder):
        _keep(path, folder, None)
    image = folder / "vmlinuz"
    return Kernel(image, release_of(image), str(path))


def _of_package(package: Package) -> Kernel:
    image = _folder(package.name) / "vmlinuz"
    return Kernel(image, release_of(image), f"{package.name} {package.version} of {package.suite}")


def _keep(file: Path, folder: Path, package: Package | None) -> None:
    """Put the kernel in a .deb into the cache."""
    with new_folder(folder) as unfinished:
        image = unfinished / "vmlinuz"
        extract_kernel(file, image)
        about = {"package": package and asdict(package), "sha256": _sum(image)}
        (unfinished / "about.json").write_text(json.dumps(about, indent=1))


def _folder(key: str) -> Path:
    return cache_folder() / "kernels" / key


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
