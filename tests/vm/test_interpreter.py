"""A guest's copy of this Python is sufficient, and runs even if its sources look newer."""

import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.archives import write_below
from tests.helpers.repository import ROOT
from untorn.errors import OutOfReachError
from untorn.vm import initramfs, interpreter
from untorn.vm.cpio import File
from untorn.vm.interpreter import executable, library_of, python_files, shared_objects


def test_the_interpreter_is_the_real_one_and_not_that_of_an_environment() -> None:
    assert executable().is_file()
    assert not executable().is_symlink()


def test_a_module_has_its_compiled_form_which_counts_whatever_the_source_says(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "module.py").write_text("VALUE = 1\n")
    files = [
        File(PurePosixPath("/", file.path.relative_to(target)), file.data)
        for file in python_files(source, target)
    ]
    write_below(target, files)
    (target / "module.py").write_text("VALUE = 2  # newer, and longer\n")
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(target)!r}); import module; print(module.VALUE)",
    ]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"1\n"


def test_the_library_is_where_the_interpreter_looks_unless_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folders = library_of(executable())
    assert tmp_path not in folders
    assert {"os.py", "encodings"} <= {path.name for folder in folders for path in folder.iterdir()}


def test_an_interpreter_that_must_be_told_cannot_go_to_a_guest(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(OutOfReachError, match="does not find its library unless it is told where"):
        library_of(python)


def test_shared_objects_are_files_and_the_c_library_is_among_them() -> None:
    found = shared_objects([executable()])
    assert all(path.is_file() for path in found)
    assert any(path.name.startswith("libc.") for path in found)


def test_a_guest_can_import_what_it_runs() -> None:
    needed = ["untorn.vm.init", "untorn.vm.jobs", "untorn.bench.live", "untorn.race.live"]
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})"
    code += f"\nimport {', '.join(needed)}\nprint('\\n'.join(sys.modules))"
    command = [str(executable()), "-IBS", "-c", code]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    left_out = {*interpreter._NO_PACKAGES, "numpy", "click", "rich"}
    assert not left_out.intersection(name.partition(".")[0] for name in imported)
    only_here = {f"untorn.{part}" for part in initramfs._ONLY_HERE}
    assert not only_here.intersection(".".join(name.split(".")[:2]) for name in imported)
    assert not any(map(interpreter._NO_EXTENSIONS.match, imported))
    of_vm = {name.split(".")[2] for name in imported if name.startswith("untorn.vm.")}
    assert of_vm == initramfs._OF_VM - {"__init__"}


def test_a_guest_gets_of_the_package_what_it_needs_and_no_more() -> None:
    got = {str(file.path.relative_to("/untorn/untorn")) for file in initramfs._package(())}
    assert {"__init__.py", "vm/init.py", "vm/jobs.py", "race/live_modifier.py"} < got
    assert not {"vm/qemu.py", "vm/race.py", "cli/race.py", "check/run.py"} & got


def test_the_interpreter_is_written_to_the_cache_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def few_files() -> list[File]:
        asked.append(True)
        return [File(PurePosixPath("/python"), b"it")]

    monkeypatch.setattr(initramfs, "interpreter_files", few_files)
    assert initramfs.cached_interpreter() == initramfs.cached_interpreter()
    assert asked == [True]


def test_an_archive_that_could_not_be_written_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def full_disk(archive: object, files: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(initramfs, "write_archive", full_disk)
    with pytest.raises(OSError, match="No space left"):
        initramfs.cached_interpreter()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("numpy", "start"), [(False, b"interpreter."), (True, b"interpreter.np.")])
def test_the_file_system_is_the_interpreter_and_then_the_rest(
    numpy: bool, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in ("interpreter", "interpreter."), ("numpy", "np."):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(initramfs, f"cached_{name}", partial(Path, tmp_path, name))
    fd = os.memfd_create("initramfs")
    try:
        initramfs.write_initramfs(fd, [b"ask\n", b"and ask\n"], numpy=numpy)
        content = io.FileIO(fd, closefd=False)
        content.seek(0)
        archive = content.readall()
    finally:
        os.close(fd)
    assert archive.startswith(start + b"070701")
    assert f"#!{executable()} -IB".encode() in archive
    assert b"ask\nand ask\n" in archive
