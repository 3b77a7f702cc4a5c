"""Group processes by the kernel's name of the program, the command line, or the cgroup."""

import os
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from untorn.reader.access.gentle import gently

_COMMAND_LINE_SIZE = 4096
"""Bytes of a command line to look at."""
_ENDS = re.compile(rb"\0+")


class Source(StrEnum):
    """What a rule looks at."""

    NAME = "name"
    """The kernel's name of the program: at most 15 bytes. Source: proc_pid_comm(5)."""
    CMDLINE = "cmdline"
    """The command line, with spaces between arguments."""
    CGROUP = "cgroup"
    """The path in the cgroup v2 hierarchy, or if there is none in systemd's."""


class Others(StrEnum):
    """What happens to a process that no rule matches."""

    NAME = "name"
    """It goes into a group of its name."""
    CGROUP = "cgroup"
    """It goes into a group of its cgroup."""
    NONE = "none"
    """It is left out."""


class Rule(NamedTuple):
    """The processes of a group."""

    group: str
    """Its name, where `\\1` and `\\g<name>` stand for what the expression matched."""
    source: Source
    pattern: re.Pattern[str]
    """Must match anywhere in the source."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a rule GROUP=SOURCE:REGEX.

        Raises:
            ValueError: It is not a rule; the message says what is wrong.
        """
        group, equals, rest = text.partition("=")
        source, colon, expression = rest.partition(":")
        if not (group and equals and colon and expression):
            raise ValueError("a rule is GROUP=SOURCE:REGEX")
        if source not in list(Source):
            raise ValueError(f"no source {source}; there are {', '.join(Source)}")
        try:
            pattern = re.compile(expression, re.DOTALL)  # a command line may have newlines
            pattern.sub(group, "")  # raises if group refers to a missing \1
        except (re.error, IndexError) as error:
            raise ValueError(f"{expression}: {error}") from error
        return cls(group, Source(source), pattern)


class Groups:
    """Finds the group of a process: that of the first rule that matches.

    Args:
        rules: The rules, in their order.
        others: What happens to a process that no rule matches.
    """

    def __init__(self, rules: Sequence[Rule] = (), others: Others = Others.NAME) -> None:
        self._rules, self._others = tuple(rules), others

    def group_of(self, name: bytes, place: str) -> str | None:
        """Return the group of a process; None if it has none.

        Args:
            name: The kernel's name of the program.
            place: Its directory in procfs.

        Raises:
            OSError: What a rule looks at may not be read, or the process is gone.
        """
        told: dict[str, str] = {Source.NAME: _text(name)}

        def tell(source: str) -> str:
            if source not in told:
                told[source] = _text(_READERS[source](place))
            return told[source]

        for rule in self._rules:
            found = rule.pattern.search(tell(rule.source))
            if found and (group := found.expand(rule.group)):
                return group
        return None if self._others is Others.NONE else tell(self._others)


def _text(value: bytes) -> str:
    """Return it in valid UTF-8, which Prometheus needs."""
    return value.decode("utf-8", "backslashreplace")


def _command_line(place: str) -> bytes:
    """Return the command line, with spaces; empty if there is none.

    It is in the memory of the process, whose lock is held while it is copied.
    """
    fd = os.open(f"{place}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    try:
        told = gently(partial(os.read, fd, _COMMAND_LINE_SIZE))
    finally:
        os.close(fd)
    return _ENDS.sub(b" ", told).strip()


def _cgroup(place: str) -> bytes:
    """Return the path of the cgroup. Source: cgroups(7)."""
    lines = (Path(place) / "cgroup").read_bytes().splitlines()
    paths = {controllers: path for _, controllers, path in (line.split(b":", 2) for line in lines)}
    unified = paths.get(b"", b"/")
    return paths.get(b"name=systemd", b"/") if unified == b"/" else unified


_READERS: dict[str, Callable[[str], bytes]] = {
    Source.CMDLINE: _command_line,
    Source.CGROUP: _cgroup,
}
