"""Where the script looks for an interpreter without the GIL, and its message if there is none."""

import io
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tools import nogil
from untorn.errors import OutOfReachError
from untorn.vm import apt

MACHINE = "#!/bin/sh\necho {disabled} {version}\n"
ORIGINAL = """
 {sha} 23160540 python{series}_{version}.orig.tar.xz
 {sha} 261776 python{series}_{version}-1.debian.tar.xz"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and only the system's programs on PATH."""
    for name in "PYTHON_NOGIL", "PYENV_ROOT", "XDG_DATA_HOME", "XDG_CACHE_HOME":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def interpreter(path: Path, version: str, disabled: str = "1") -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(MACHINE.format(disabled=disabled, version=version.replace(".", " ")))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "path",
    [
        "bin/python3.14t",
        ".pyenv/versions/3.14.2t/bin/python3.14t",
        "uv/cpython-3.14.2+freethreaded-linux-x86_64-gnu/bin/python3.14t",
        ".cache/untorn/python/3.14.2/bin/python3.14t",
    ],
)
def test_one_of_this_machine_is_found_wherever_it_is(path: str, home: Path) -> None:
    assert nogil.find() is None
    python = interpreter(home / path, "3.14.2")
    assert nogil.find() == python


def test_the_newest_is_taken(home: Path) -> None:
    for version in "3.14.2", "3.14.10", "3.13.15":
        interpreter(home / f".cache/untorn/python/{version}/bin/python{version[:4]}t", version)
    assert nogil.find() == home / ".cache/untorn/python/3.14.10/bin/python3.14t"


def test_one_that_has_the_gil_or_does_not_run_is_not_taken(home: Path) -> None:
    interpreter(home / "bin/python3.14t", "3.14.2", disabled="0")
    interpreter(home / ".pyenv/versions/3.14.2t/bin/python3.14t", "3.14.2").chmod(0o644)
    assert nogil.find() is None


def test_the_one_that_is_named_is_taken_or_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter(home / "bin/python3.14t", "3.14.2")
    named = interpreter(home / "mine/python", "3.13.1")
    monkeypatch.setenv("PYTHON_NOGIL", str(named))
    assert nogil.find() == named
    named.unlink()
    with pytest.raises(OutOfReachError, match=f"PYTHON_NOGIL={named} is none"):
        nogil.find()


def test_its_path_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = interpreter(home / "bin/python3.14t", "3.14.2")
    assert nogil.main() == 0
    assert capsys.readouterr() == (f"{python}\n", "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--find"], "none on PATH, of pyenv or of uv, and none was made"),
        ([], "none is here, and to make one it takes cc, make, tar, xz"),
    ],
)
def test_where_there_is_none_one_line_says_why(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nogil.main(*arguments) == nogil.SKIPPED
    assert capsys.readouterr() == ("", f"no CPython without the GIL: {reason}\n")


class Debian:
    """Suites that have some sources; the mirror lacks some of these."""

    def __init__(self, lacks: str = "none") -> None:
        self.lacks = lacks
        self.archive = io.BytesIO()

    def stanzas(self, name: re.Pattern[str], kind: str, suites: object) -> object:
        assert kind == apt.SOURCES
        for series, version in ("3.13", "3.13.15"), ("3.14", "3.14.10"), ("3.14", "3.14.9"):
            sums = ORIGINAL.format(series=series, version=version, sha="0" * 64)
            folder = f"pool/main/p/python{series}"
            yield "sid", "http://x/debian/", {"Checksums-Sha256": sums, "Directory": folder}

    def download(self, uri: str, sha256: str, target: Path) -> None:
        if re.search(self.lacks, uri):
            raise OutOfReachError(f"{uri} cannot be fetched: 404")
        target.write_bytes(self.archive.getvalue())


def debian(monkeypatch: pytest.MonkeyPatch, lacks: str = "none") -> Debian:
    it = Debian(lacks)
    monkeypatch.setattr(apt, "stanzas", it.stanzas)
    monkeypatch.setattr(apt, "download", it.download)
    return it


def test_the_newest_source_that_can_be_fetched_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian(monkeypatch, lacks=r"3\.14\.10")
    assert str(nogil.fetch(tmp_path / "source")) == "CPython 3.14.9"
    debian(monkeypatch, lacks=".")
    with pytest.raises(OutOfReachError, match=r"python3\.13_3\.13\.15\.orig\.tar\.xz cannot be"):
        nogil.fetch(tmp_path / "source")


CONFIGURE = """#!/bin/sh
printf 'MODULE__CTYPES_STATE=yes\\nMODULE__SSL_STATE={ssl}\\nMODULE_ZLIB_STATE=yes\\n' >Makefile
printf 'all:\\n\\techo making\\naltinstall:\\n' >>Makefile
printf '\\tmkdir -p $(DESTDIR)%s/bin\\n' "${{1#--prefix=}}" >>Makefile
printf '\\tinstall python $(DESTDIR)%s/bin/python3.14t\\n' "${{1#--prefix=}}" >>Makefile
"""


def source(version: str, ssl: str = "yes") -> io.BytesIO:
    """A source that builds a program which claims to be without the GIL."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as members:
        files = {
            "configure": CONFIGURE.format(ssl=ssl),
            "python": MACHINE.format(disabled=1, version=version.replace(".", " ")),
        }
        for name, text in files.items():
            member = tarfile.TarInfo(f"Python-{version}/{name}")
            member.size, member.mode = len(text), 0o755
            members.addfile(member, io.BytesIO(text.encode()))
    return archive


@pytest.mark.parametrize(
    ("ssl", "lacks"), [("yes", ""), ("missing", "it takes the headers of libssl-dev")]
)
def test_one_is_made_whole_or_not_at_all(
    ssl: str,
    lacks: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if not all(map(shutil.which, ("cc", "make", "tar", "xz"))):
        pytest.skip("takes cc, make, tar and xz")
    debian(monkeypatch).archive = source("3.14.10", ssl)
    made = home / ".cache/untorn/python"
    assert nogil.main() == (nogil.SKIPPED if lacks else 0)
    told = capsys.readouterr()
    assert lacks in told.err
    assert [path.name for path in made.glob("[!b]*")] == ([] if lacks else ["3.14.10"])
    assert told.out == ("" if lacks else f"{made}/3.14.10/bin/python3.14t\n")
    assert list(made.glob(".*")) == []
