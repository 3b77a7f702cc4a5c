"""The files of a package with compiled parts, numpy, for a guest that imports it."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from untorn.vm.cpio import File
from untorn.vm.init import SOURCES
from untorn.vm.interpreter import python_files, shared_objects

_FOR_TESTS = re.compile(r"_tests\.|_simd\.")


def package_root(name: str) -> Path:
    """Return the folder of an installed package."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def package_files(name: str) -> Iterator[File]:
    """Yield a package, its compiled parts and what they load, to be found beside ours.

    What came with the package keeps its place relative to it; the rest keeps its path.

    Raises:
        OutOfReachError: There is no ldd.
    """
    root = package_root(name)
    yield from python_files(root, SOURCES / name)
    extensions = [path for path in sorted(root.rglob("*.so")) if not _FOR_TESTS.search(path.name)]
    for path in (*extensions, *shared_objects(extensions)):
        came_with_it = path.is_relative_to(root.parent)
        target = SOURCES / path.relative_to(root.parent) if came_with_it else path
        yield File(PurePosixPath(target), path.read_bytes(), executable=True)
