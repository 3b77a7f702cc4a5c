"""Run apt with its own directories and sources: the host's apt is neither used nor changed.

Only the network settings and the mirror come from the host's configuration. apt checks Debian's
signature of the lists, and the checksum of what it fetches.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from untorn.errors import OutOfReachError
from untorn.processes.endings import endings_held, wait_readable

MIRROR = "http://deb.debian.org/debian"
SUITES = (
    "bookworm",
    "bookworm-backports",
    "trixie",
    "trixie-backports",
    "forky",
    "sid",
    "experimental",
)
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PATIENCE = 120.0
"""Seconds that apt may stay silent."""
_HELPER = "/usr/lib/apt/apt-helper"
_CONFIGURATION = """\
#clear APT::Update;
#clear DPkg;
Dir::State "{folder}";
Dir::State::Lists "{folder}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{folder}";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::http::Timeout "20";
"""
"""The host's hooks are not run either."""
PACKAGES = "deb [arch=amd64 target=Packages"
SOURCES = "deb-src [target=Sources"
"""What to ask for: binary packages for x86-64, or source packages."""
_FIELD = re.compile(r"(?m)^([\w-]+):[ ]?(.*(?:\n .*)*)$")

Stanza = dict[str, str]
"""Fields of a package. A field of several lines keeps its line ends."""


def stanzas(
    name: re.Pattern[str], kind: str = PACKAGES, suites: Sequence[str] = SUITES
) -> Iterator[tuple[str, str, Stanza]]:
    """Ask suites; yield suite, base address, and fields of each package whose name matches.

    Raises:
        OutOfReachError: apt or Debian's keys are not here, or no suite can be reached.
    """
    with _apt(kind, suites) as config:
        complaint = _run("apt-get", *config, "update")[1]
        listing = "$(FILENAME) $(RELEASE) $(REPO_URI)"
        lists = _run("apt-get", *config, "indextargets", "--format", listing)[0].splitlines()
        if not lists:
            raise OutOfReachError(f"Debian's suites cannot be reached: {complaint}")
        for file, suite, base in (line.split() for line in lists):
            for stanza in _run(_HELPER, *config, "cat-file", file)[0].split("\n\n"):
                package, _, _ = stanza.removeprefix("Package: ").partition("\n")
                if name.fullmatch(package):
                    yield suite, base, dict(_FIELD.findall(stanza))


def download(uri: str, sha256: str, target: Path) -> None:
    """Fetch a file and check its checksum.

    Raises:
        OutOfReachError: apt is not here, or the file cannot be fetched or written.
    """
    with _apt(PACKAGES, SUITES) as config:
        asked = "download-file", uri, str(target), f"SHA256:{sha256}"
        complaint = _run(_HELPER, *config, *asked, fills=target)[1]
    if not target.exists():
        raise OutOfReachError(f"{uri} cannot be fetched: {complaint}")


@contextmanager
def _apt(kind: str, suites: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield options that make apt use a directory of its own, which is then removed."""
    if not _KEYRING.exists():
        raise OutOfReachError(f"no {_KEYRING}; install debian-archive-keyring")
    with endings_held(), TemporaryDirectory(prefix="untorn-apt-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt downloads as a user of its own
        (folder / "lists/partial").mkdir(parents=True)
        source = f"{kind} signed-by={_KEYRING}] {_mirror()}"
        sources = "".join(f"{source} {suite} main\n" for suite in suites)
        (folder / "sources.list").write_text(sources)
        (folder / "apt.conf").write_text(_CONFIGURATION.format(folder=folder))
        yield "-q", f"--config-file={folder}/apt.conf"


def _mirror() -> str:
    """Return the Debian mirror that the host uses, or the usual one."""
    listing = "$(REPO_URI) $(ORIGIN) $(LABEL)"
    for line in _run("apt-get", "indextargets", "--format", listing)[0].splitlines():
        uri, _, whose = line.partition(" ")
        if whose == "Debian Debian" and uri.startswith(("http:", "https:")):
            return uri
    return MIRROR


def _run(*command: str, fills: Path | None = None) -> tuple[str, str]:
    """Return what a command prints, and its first error, or else its first warning.

    Raises:
        OutOfReachError: The command does not exist; or it is silent for long, and the file that it
            fills, if any, does not grow: apt waits for ever on a full disk.
        KeyboardInterrupt: An ending was asked for.
    """
    with TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints)
        except FileNotFoundError as error:
            raise OutOfReachError(f"no {command[0]} here to fetch from Debian with") from error
        try:
            output = _read(process, fills)
        finally:
            process.kill()
            process.communicate()
        complaints.seek(0)
        text = complaints.read().decode(errors="replace")
        told = [each for kind in "EW" for each in re.findall(f"(?m)^{kind}: (.*)", text)]
    return output, told[0] if told else f"{command[0]} failed"


def _read(process: subprocess.Popen[bytes], fills: Path | None) -> str:
    assert process.stdout is not None
    output = bytearray()
    size = 0
    while wait_readable(process.stdout.fileno(), PATIENCE) or size < (size := _size_of(fills)):
        if not wait_readable(process.stdout.fileno(), 0):
            continue
        chunk = os.read(process.stdout.fileno(), 1 << 20)
        if not chunk:
            return output.decode(errors="replace")
        output += chunk
    raise OutOfReachError(f"apt has been silent for {PATIENCE:g} s; is a disk full?")


def _size_of(file: Path | None) -> int:
    try:
        return file.stat().st_size if file else 0
    except FileNotFoundError:
        return 0
