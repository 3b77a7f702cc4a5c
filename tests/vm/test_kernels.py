"""Which kernel a name means, and where a package has its kernel."""

import json
import os
import random
import shutil
import struct
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from untorn.cli import main
from untorn.errors import OutOfReachError
from untorn.vm import apt, debian, kernels
from untorn.vm.debian import Package, newest
from untorn.vm.images import extract_kernel, release_of
from untorn.vm.kernels import cached_packages, fetch, find_kernel

CLOUD = "6.12.117+deb13-cloud-amd64"
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")


def image_of(release: str) -> bytes:
    """A kernel image of which only the header is genuine."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    return bytes(head[:0x300]) + f"{release} (builder@host) #1 SMP\0".encode() + bytes(600)


def package(name: str, version: str, suite: str = "trixie") -> Package:
    return Package(name, version, suite, f"http://mirror/{name}_{version}.deb", "00", 1)


SUITES = sorted(
    (
        package("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "bookworm"),
        package("linux-image-6.1.0-50-amd64", "6.1.176-1", "bookworm"),
        package("linux-image-6.12.95+deb12-cloud-amd64", "6.12.95-1~bpo12+1"),
        package("linux-image-6.12.117+deb13-amd64", "6.12.117-1"),
        package(f"linux-image-{CLOUD}", "6.12.117-1"),
        package("linux-binary-7.3-cloud-amd64", "7.3~rc7-1~exp1", "experimental"),
        package("linux-binary-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
    ),
    key=lambda each: random.Random(each.name).random(),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; Debian's suites have SUITES and cannot be reached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def nowhere(*arguments: object) -> None:
        raise OutOfReachError("Debian's suites cannot be reached")

    monkeypatch.setattr(apt, "download", nowhere)
    monkeypatch.setattr(apt, "stanzas", nowhere)
    return tmp_path / "cache/untorn"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Debian's suites can be reached; returns what was fetched."""
    fetched: list[str] = []

    def download(uri: str, sha256: str, target: Path) -> None:
        fetched.append(uri)
        release = next(each.release for each in SUITES if each.uri == uri)
        build_package(target, f"boot/vmlinuz-{release}", image_of(release))

    monkeypatch.setattr(debian, "packages", lambda refresh=False: sorted(SUITES, key=Package.age))
    monkeypatch.setattr(apt, "download", download)
    return fetched


def build_package(target: Path, path: str | None, content: bytes = b"") -> Path:
    """A .deb with a file; it also has one of a kernel package's usual modules."""
    root = target.with_suffix(".d")
    for name, data in (("lib/modules/x/a.ko", b"module"), (path, content)):
        if name is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
    (root / "DEBIAN").mkdir()
    control = "Package: linux-image\nVersion: 1\nArchitecture: all\n"
    control += "Maintainer: nobody <nobody@localhost>\nDescription: a kernel\n"
    (root / "DEBIAN/control").write_text(control)
    command = ["dpkg-deb", "--build", "-Zgzip", str(root), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(root)
    return target


def ignore(what: str) -> None:
    pass


def test_the_release_is_read_from_the_header(tmp_path: Path) -> None:
    (tmp_path / "bzImage").write_bytes(image_of(CLOUD))
    assert release_of(tmp_path / "bzImage") == CLOUD


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(1000), image_of("6.12")[:0x204]])
def test_what_is_no_kernel_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vmlinux").write_bytes(content)
    with pytest.raises(OutOfReachError, match="vmlinux: "):
        release_of(tmp_path / "vmlinux")


@needs_dpkg
@pytest.mark.parametrize(
    "path", [f"boot/vmlinuz-{CLOUD}", f"usr/lib/modules/{CLOUD}/vmlinuz", "lib/modules/6/vmlinuz"]
)
def test_a_kernel_is_found_where_a_package_has_it(tmp_path: Path, path: str) -> None:
    deb = build_package(tmp_path / "kernel.deb", path, b"the kernel")
    extract_kernel(deb, tmp_path / "vmlinuz")
    assert (tmp_path / "vmlinuz").read_bytes() == b"the kernel"


@needs_dpkg
@pytest.mark.parametrize("path", [None, "usr/share/doc/vmlinuz-6", "boot/config-6"])
def test_a_package_without_a_kernel_is_refused(tmp_path: Path, path: str | None) -> None:
    deb = build_package(tmp_path / "empty.deb", path)
    with pytest.raises(OutOfReachError, match=r"empty\.deb: no kernel image in it"):
        extract_kernel(deb, tmp_path / "vmlinuz")


@needs_dpkg
def test_a_broken_package_is_refused_in_one_line(tmp_path: Path) -> None:
    deb = build_package(tmp_path / "broken.deb", f"boot/vmlinuz-{CLOUD}", random.randbytes(100_000))
    deb.write_bytes(deb.read_bytes()[:40_000])
    with pytest.raises(OutOfReachError, match=r"broken\.deb: ") as raised:
        extract_kernel(deb, tmp_path / "vmlinuz")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("6.1", "6.1.0-50-cloud-amd64"),
        ("6.1.176", "6.1.0-50-cloud-amd64"),
        ("6.12", CLOUD),
        ("6.12.95", "6.12.95+deb12-cloud-amd64"),
        ("6.12.117+deb13-amd64", "6.12.117+deb13-amd64"),
        (f"linux-image-{CLOUD}", CLOUD),
        ("linux-image-7.3.4+deb13-cloud-amd64", "7.3.4+deb13-cloud-amd64"),
        ("7.3", "7.3.4+deb13-cloud-amd64"),
        ("7.3~rc7", "7.3-cloud-amd64"),
        ("7", "7.3.4+deb13-cloud-amd64"),
    ],
)
def test_a_name_means_the_newest_kernel_that_it_fits(name: str, release: str) -> None:
    assert newest(name, SUITES).release == release


@pytest.mark.parametrize("name", ["6.11", "6.1.17", "6.12.11", "bookworm", "linux-image-amd64"])
def test_a_name_that_fits_none_is_told_what_there_is(name: str) -> None:
    with pytest.raises(
        OutOfReachError, match=f"no kernel {name} in Debian's suites; they have .*7.3"
    ):
        newest(name, SUITES)


def test_of_two_packages_of_a_release_the_one_with_the_image_counts(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stanza = {"Version": "7.2.6-1", "Filename": "pool/x.deb", "SHA256": "00", "Size": "7"}
    names = ["linux-image-7.2.6+deb13-amd64", "linux-binary-7.2.6+deb13-amd64"]
    found = [("trixie", "http://mirror/", stanza | {"Package": name}) for name in names]
    monkeypatch.setattr(apt, "stanzas", lambda name: iter(found))
    assert [each.name for each in debian.packages()] == names[1:]
    assert debian.packages()[0].uri == "http://mirror/pool/x.deb"


def test_what_debian_had_has_to_do_when_it_cannot_be_reached(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutOfReachError, match="cannot be reached"):
        debian.packages()
    cache.mkdir(parents=True)
    (cache / "debian.json").write_text(json.dumps([asdict(each) for each in SUITES]))
    os.utime(cache / "debian.json", (0, 0))
    assert debian.packages() == SUITES


@pytest.mark.parametrize("content", ["", "{", "[]", '[{"name": 1}]', "7"])
def test_a_damaged_list_is_none(cache: Path, content: str) -> None:
    cache.mkdir(parents=True)
    (cache / "debian.json").write_text(content)
    with pytest.raises(OutOfReachError, match="cannot be reached"):
        debian.packages()


@needs_dpkg
def test_a_kernel_is_fetched_once_and_then_found_in_the_cache(
    cache: Path, offered: list[str]
) -> None:
    kernel = find_kernel("6.12", ignore)
    assert (kernel.release, release_of(kernel.image)) == (CLOUD, CLOUD)
    assert kernel.origin == f"linux-image-{CLOUD} 6.12.117-1 of trixie"
    assert find_kernel("6", ignore) == find_kernel(CLOUD, ignore) == kernel
    assert fetch("6.12", ignore) == kernel
    assert len(offered) == 1


@needs_dpkg
def test_a_kernel_damaged_in_the_cache_is_fetched_anew(cache: Path, offered: list[str]) -> None:
    kernel = find_kernel("6.12", ignore)
    kernel.image.write_bytes(b"damaged")
    assert cached_packages() == []
    assert release_of(find_kernel("6.12", ignore).image) == CLOUD
    assert len(offered) == 2


@needs_dpkg
@pytest.mark.parametrize("lost", ["vmlinuz", "about.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"7"])
def test_what_is_damaged_in_the_cache_is_not_there(
    offered: list[str], lost: str, content: bytes | None
) -> None:
    kept = find_kernel("6.1", ignore)
    damaged = find_kernel("6.12", ignore).image.with_name(lost)
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    assert [each.release for each in cached_packages()] == [kept.release]
    assert release_of(find_kernel("6.12", ignore).image) == CLOUD


@needs_dpkg
def test_what_debian_has_no_longer_may_be_in_the_cache(
    offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = find_kernel("6.12", ignore)
    monkeypatch.setattr(debian, "packages", lambda refresh=False: SUITES[:0])
    assert fetch("6.12", ignore) == kernel
    with pytest.raises(OutOfReachError, match=r"no kernel 7\.3"):
        fetch("7.3", ignore)


@needs_dpkg
def test_a_package_that_debian_has_replaced_is_looked_for_anew(
    offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = package("linux-image-6.12.100+deb13-cloud-amd64", "6.12.100-1")
    there = [each for each in SUITES if each.release == CLOUD]
    download = apt.download

    def serve(uri: str, sha256: str, target: Path) -> None:
        if uri == gone.uri:
            raise OutOfReachError("404  Not Found")
        download(uri, sha256, target)

    monkeypatch.setattr(apt, "download", serve)
    monkeypatch.setattr(debian, "packages", lambda refresh=False: there if refresh else [gone])
    assert fetch("6.12", ignore).release == CLOUD
    monkeypatch.setattr(debian, "packages", lambda refresh=False: [gone])
    with pytest.raises(OutOfReachError, match="404"):
        fetch("6.12", ignore)


@needs_dpkg
def test_a_full_disk_leaves_the_cache_as_it_was(
    cache: Path, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(file: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(kernels, "extract_kernel", full_disk)
    with pytest.raises(OSError, match="No space left") as raised:
        find_kernel("6.12", ignore)
    assert raised.value.filename == str(cache / f"kernels/linux-image-{CLOUD}")
    assert not any((cache / "kernels").iterdir())


@needs_dpkg
def test_a_package_by_its_path_is_unpacked_once(tmp_path: Path, cache: Path) -> None:
    deb = build_package(tmp_path / "mine.deb", "boot/vmlinuz-6.5.0", image_of("6.5.0"))
    kernel = find_kernel(str(deb), ignore)
    assert (kernel.release, kernel.origin) == ("6.5.0", str(deb))
    assert kernel.image.is_relative_to(cache)
    assert find_kernel(str(deb), ignore) == kernel
    assert cached_packages() == []


@pytest.mark.parametrize("place", ["arch/x86/boot/bzImage", "vmlinuz", "boot/vmlinuz-6.5.0"])
def test_a_folder_is_searched_for_its_one_kernel(tmp_path: Path, place: str) -> None:
    image = tmp_path / place
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(image_of("6.5.0"))
    assert find_kernel(str(tmp_path), ignore).image == image


def test_a_built_tree_has_one_kernel_by_two_names(tmp_path: Path) -> None:
    image = tmp_path / "arch/x86/boot/bzImage"
    link = tmp_path / "arch/x86_64/boot/bzImage"
    for place in image, link:
        place.parent.mkdir(parents=True)
    image.write_bytes(image_of("6.5.0"))
    link.symlink_to("../../x86/boot/bzImage")
    assert find_kernel(str(tmp_path), ignore).release == "6.5.0"


def test_a_home_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutOfReachError, match="~nobody-of-this-name"):
        find_kernel("~nobody-of-this-name/vmlinuz", ignore)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OutOfReachError, match="XDG_CACHE_HOME"):
        cached_packages()


def test_a_folder_of_none_or_several_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutOfReachError, match="There is none"):
        find_kernel(str(tmp_path), ignore)
    for name in ("vmlinuz", "bzImage"):
        (tmp_path / name).write_bytes(image_of("6.5.0"))
    with pytest.raises(OutOfReachError, match="There is more than one"):
        find_kernel(str(tmp_path), ignore)


def test_a_file_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        find_kernel("/nonexistent/vmlinuz", ignore)


def test_the_running_kernel_is_looked_for_where_kernels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = os.uname().release
    monkeypatch.setattr(kernels, "HOST_IMAGES", (f"{tmp_path}/vmlinuz-{{release}}",))
    with pytest.raises(OutOfReachError, match=f"no image of the running kernel here.*{release}"):
        find_kernel("host", ignore)
    (tmp_path / f"vmlinuz-{release}").write_bytes(image_of(release))
    assert find_kernel("host", ignore).release == release


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["kernels", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def _with_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("untorn.vm.qemu.find_qemu", lambda: "/usr/bin/qemu")


@needs_dpkg
@pytest.mark.usefixtures("_with_qemu")
def test_kernels_are_listed_with_where_they_are(offered: list[str]) -> None:
    run("fetch", "6.12.95")
    status, output, _ = run()
    rows = [line.split()[:2] for line in output.splitlines() if line.strip()]
    assert status == 0
    assert ["6.12", "6.12.95+deb12-cloud-amd64"] in rows
    assert [CLOUD, CLOUD] in rows
    assert ["7.3", "7.3.4+deb13-cloud-amd64"] in rows


@pytest.mark.usefixtures("_with_qemu")
def test_without_suites_and_cache_there_is_nothing_to_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "host_image", lambda: Path("/nonexistent/vmlinuz"))
    status, output, complaint = run()
    assert (status, output) == (1, "")
    assert complaint.splitlines() == [
        "host: /nonexistent/vmlinuz: No such file or directory",
        "Debian's suites cannot be reached",
    ]


def test_a_missing_emulator_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run() == (
        1,
        "",
        "Error: no qemu-system-x86_64 on PATH; on Debian: apt install qemu-system-x86\n",
    )


@needs_dpkg
def test_what_was_fetched_is_told(offered: list[str]) -> None:
    status, output, told = run("fetch", "6.12", "7.3")
    assert status == 0
    assert [line.split(",")[0] for line in output.splitlines()] == [
        f"6.12: Linux {CLOUD}",
        "7.3: Linux 7.3.4+deb13-cloud-amd64",
    ]
    assert f"fetching linux-image-{CLOUD} 6.12.117-1 from trixie" in told


def test_what_cannot_be_fetched_is_one_line(offered: list[str]) -> None:
    status, _, complaint = run("fetch", "5.4")
    assert status == 1
    assert complaint.splitlines()[-1].startswith("Error: no kernel 5.4 in Debian's suites")
