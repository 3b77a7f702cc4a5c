"""Archives as a kernel unpacks them."""

import io
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from untorn.vm.cpio import File, write_archive

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4)


def entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and data of every entry, read by the format's specification."""
    at = 0
    while at < len(archive):
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = archive[at + 110 : at + 110 + name_size]
        data_at = (at + 110 + name_size + 3) // 4 * 4
        yield name.rstrip(b"\0").decode(), mode, archive[data_at : data_at + size]
        at = (data_at + size + 3) // 4 * 4


def archive_of(*files: File) -> bytes:
    archive = io.BytesIO()
    write_archive(archive, files)
    return archive.getvalue()


@given(st.dictionaries(paths.map("/".join), st.binary(max_size=50)))
def test_every_file_is_there_with_its_bytes(contents: dict[str, bytes]) -> None:
    files = [File(PurePosixPath("/", path), data) for path, data in contents.items()]
    *found, last = entries(archive_of(*files))
    assert last == ("TRAILER!!!", 0, b"")
    assert {name: data for name, mode, data in found if stat.S_ISREG(mode)} == contents


def test_a_directory_comes_once_and_before_what_is_in_it() -> None:
    one, other = (File(PurePosixPath("/a/b", name), b"") for name in "cd")
    assert [name for name, _, _ in entries(archive_of(one, other))] == [
        "a",
        "a/b",
        "a/b/c",
        "a/b/d",
        "TRAILER!!!",
    ]


def test_what_is_to_be_run_may_be_run() -> None:
    files = File(PurePosixPath("/init"), b"", executable=True), File(PurePosixPath("/data"), b"")
    modes = {name: mode for name, mode, _ in entries(archive_of(*files))}
    assert modes["init"] == stat.S_IFREG | 0o755
    assert modes["data"] == stat.S_IFREG | 0o644


def test_archives_may_follow_one_another() -> None:
    both = archive_of(File(PurePosixPath("/a"), b"1")) + archive_of(File(PurePosixPath("/a"), b"2"))
    assert [data for name, _, data in entries(both) if name == "a"] == [b"1", b"2"]
