"""A map is shown as the kernel shows it."""

import os
from pathlib import Path

import pytest

import untorn
from tests.helpers.commanded import Commanded
from untorn.serve.text.show_maps import show_maps


@pytest.mark.live
def test_it_is_the_text_of_the_kernel_whatever_files_are_called(tmp_path: Path) -> None:
    names = "plain", "two words", "new\nline", "trailing\r", "back\\012slash", "was (deleted)"
    with Commanded() as child:
        for name in (*names, "gone"):
            path = tmp_path / name
            path.write_bytes(b"x")
            child.do(f"put(place(1), 1, 1, 2, os.open({str(path)!r}, os.O_RDONLY))")
        path.unlink()
        child.do("os.ftruncate(fd := os.memfd_create('a name'), 4096); put(place(1), 1, 3, 1, fd)")
        text = child.maps()
        assert bytes(show_maps(untorn.snapshot(child.pid))) == text
    for name in names:
        assert os.fsencode(name).replace(b"\n", b"\\012") + b"\n" in text
