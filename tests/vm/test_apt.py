"""apt with its own folders: what we ask it, and that nothing of it stays."""

import os
import re
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.helpers.processes import children_of
from untorn.errors import OutOfReachError
from untorn.vm import apt

APT = """#!{python}
import pathlib, sys
arguments = " ".join(sys.argv[1:])
pathlib.Path({log!r}).open("a").write(arguments + "\\n")
{body}
"""
LISTS = """
if arguments.startswith("indextargets"):
    print("http://mirror.example/debian/ Debian Debian")
elif "indextargets" in arguments:
    print("/lists/one trixie http://mirror.example/debian/")
elif "cat-file" in arguments:
    print("Package: linux-image-6-amd64\\nSize: 7\\n\\nPackage: hello\\nSize: 8\\n")
elif "update" in arguments:
    options = pathlib.Path(sys.argv[2].partition("=")[2])
    pathlib.Path({log!r}).open("a").write((options.parent / "sources.list").read_text())
"""


class Apt:
    """Programs in apt's place, and what they were asked to do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.log = folder, folder / "log"
        (folder / "keyring").touch()
        (folder / "tmp").mkdir()
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(apt, "_HELPER", str(folder / "apt-helper"))
        monkeypatch.setattr(apt, "_KEYRING", folder / "keyring")
        monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))

    def does(self, body: str) -> None:
        log = str(self.log)
        script = APT.format(python=sys.executable, log=log, body=body.replace("{log!r}", repr(log)))
        for name in ("apt-get", "apt-helper"):
            (self.folder / name).write_text(script)
            (self.folder / name).chmod(0o755)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    return Apt(tmp_path, monkeypatch)


def asked() -> list[tuple[str, str, dict[str, str]]]:
    return list(apt.stanzas(re.compile(r"linux-image-\S+")))


def test_packages_of_such_a_name_come_with_suite_and_address(fake: Apt) -> None:
    fake.does(LISTS)
    stanza = {"Package": "linux-image-6-amd64", "Size": "7"}
    assert asked() == [("trixie", "http://mirror.example/debian/", stanza)]


def test_the_sources_are_the_suites_at_the_hosts_mirror_signed_by_debian(fake: Apt) -> None:
    fake.does(LISTS)
    asked()
    sources = [line for line in fake.log.read_text().splitlines() if line.startswith("deb ")]
    assert [line.split()[-2] for line in sources] == list(apt.SUITES)
    assert all("http://mirror.example/debian/ " in line for line in sources)
    assert all(f"signed-by={fake.folder}/keyring" in line for line in sources)


def test_sources_come_with_the_sums_of_their_files(fake: Apt) -> None:
    sums = r"Checksums-Sha256:\n 00aa 7 hello.tar.xz\n 00bb 8 hello.dsc\nDirectory: pool/hello"
    fake.does(LISTS.replace("Size: 8", sums))
    found = list(apt.stanzas(re.compile("hello"), apt.SOURCES, ["sid"]))
    sums_of_files = "\n 00aa 7 hello.tar.xz\n 00bb 8 hello.dsc"
    fields = {"Checksums-Sha256": sums_of_files, "Directory": "pool/hello"}
    assert [stanza for _, _, stanza in found] == [{"Package": "hello", **fields}]
    sources = [line for line in fake.log.read_text().splitlines() if line.startswith("deb")]
    signed = f"signed-by={fake.folder}/keyring"
    assert sources == [f"deb-src [target=Sources {signed}] http://mirror.example/debian/ sid main"]


def test_apt_is_given_its_own_folders_and_they_are_gone_afterwards(fake: Apt) -> None:
    fake.does(LISTS)
    asked()
    calls = [line for line in fake.log.read_text().splitlines() if not line.startswith("deb ")]
    assert all("--config-file=" in line for line in calls[1:])  # the first asks for the mirror
    assert list((fake.folder / "tmp").iterdir()) == []


def test_suites_that_cannot_be_reached_are_told_with_apts_reason(fake: Apt) -> None:
    fake.does('print("W: no network", file=sys.stderr)')
    with pytest.raises(OutOfReachError, match=r"^Debian's suites cannot be reached: no network$"):
        asked()


def test_a_download_that_failed_is_told_with_apts_reason(fake: Apt, tmp_path: Path) -> None:
    fake.does('print("E: Hash Sum mismatch", file=sys.stderr); sys.exit(100)')
    with pytest.raises(OutOfReachError, match=r"kernel\.deb cannot be fetched: Hash Sum mismatch"):
        apt.download("http://mirror.example/kernel.deb", "00", tmp_path / "kernel.deb")


def test_an_error_of_apt_says_more_than_a_warning(fake: Apt, tmp_path: Path) -> None:
    fake.does('print("W: as root\\nE: 404  Not Found", file=sys.stderr); sys.exit(100)')
    with pytest.raises(OutOfReachError, match=r"kernel\.deb cannot be fetched: 404  Not Found"):
        apt.download("http://mirror.example/kernel.deb", "00", tmp_path / "kernel.deb")


def test_a_slow_link_is_waited_for_as_long_as_the_file_grows(
    fake: Apt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patience runs out at once, again and again; each look finds that the file grew, until the end.
    sizes = count(1)
    monkeypatch.setattr(apt, "PATIENCE", 0.001)
    monkeypatch.setattr(apt, "_size_of", lambda file: next(sizes) if file else 0)
    fake.does("import time; time.sleep(0.3) if 'download-file' in arguments else None")
    monkeypatch.setattr(apt, "_mirror", lambda: apt.MIRROR)
    target = tmp_path / "kernel.deb"
    target.touch()
    apt.download("http://mirror.example/kernel.deb", "00", target)


def test_a_mirror_that_only_apt_update_understands_is_not_used(fake: Apt) -> None:
    fake.does(LISTS.replace("http://mirror.example/debian/ Debian", "mirror+file:/etc/l Debian"))
    asked()
    assert f"{apt.MIRROR} trixie" in fake.log.read_text()


def test_an_apt_that_hangs_is_given_up_and_ended(
    fake: Apt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "PATIENCE", 0.2)
    fake.does("import time; time.sleep(600)")
    with pytest.raises(OutOfReachError, match=r"apt has been silent for 0\.2 s"):
        asked()
    assert children_of(os.getpid()) == set()
    assert list((fake.folder / "tmp").iterdir()) == []


def test_without_apt_or_keys_nothing_can_be_fetched(fake: Apt) -> None:
    with pytest.raises(OutOfReachError, match="no apt-get here"):
        asked()
    (fake.folder / "keyring").unlink()
    with pytest.raises(OutOfReachError, match="install debian-archive-keyring"):
        asked()
