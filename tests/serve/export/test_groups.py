"""The group of a process."""

import os
from pathlib import Path

import pytest

from untorn.serve.export.groups import Groups, Others, Rule


def place_of(tmp_path: Path, cmdline: bytes = b"", cgroup: bytes = b"") -> str:
    """A directory of procfs with these files."""
    (tmp_path / "cmdline").write_bytes(cmdline)
    (tmp_path / "cgroup").write_bytes(cgroup)
    return str(tmp_path)


def group_of(place: str, *rules: str, name: bytes = b"java", others: str = "name") -> str | None:
    groups = Groups([Rule.parse(rule) for rule in rules], Others(others))
    return groups.group_of(name, place)


def test_without_rules_a_process_is_of_the_group_of_its_name(tmp_path: Path) -> None:
    assert group_of(str(tmp_path)) == "java"


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    place = place_of(tmp_path, b"java\0-jar\0kafka.jar\0")
    rules = "none=name:^python$", r"jar-\1=cmdline:-jar (\w+)\.jar", "all=name:."
    assert group_of(place, *rules) == "jar-kafka"
    assert group_of(place, *rules[:1]) == "java"


def test_a_rule_that_makes_no_name_does_not_fit(tmp_path: Path) -> None:
    assert group_of(str(tmp_path), r"\1=name:java(x)?", "named=name:.") == "named"


@pytest.mark.parametrize(("others", "group"), [("name", "java"), ("cgroup", "/a"), ("none", None)])
def test_what_no_rule_is_about(tmp_path: Path, others: str, group: str | None) -> None:
    place = place_of(tmp_path, cgroup=b"0::/a\n")
    assert group_of(place, "python=name:python", others=others) == group


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        (b"3:cpu,cpuacct:/x\n1:name=systemd:/user.slice\n0::/\n", "/user.slice"),
        (b"1:name=systemd:/other\n0::/a:b\n", "/a:b"),
        (b"4:memory:/x\n", "/"),
    ],
)
def test_the_cgroup_is_that_of_v2_or_of_systemd(tmp_path: Path, text: bytes, path: str) -> None:
    assert group_of(place_of(tmp_path, cgroup=text), others="cgroup") == path


def test_no_command_line_is_read_unless_a_rule_asks_for_it(tmp_path: Path) -> None:
    assert group_of(str(tmp_path), "x=name:nothing") == "java"
    with pytest.raises(FileNotFoundError):
        group_of(str(tmp_path), "x=cmdline:nothing")


def test_a_name_that_is_not_utf_8_can_be_shown(tmp_path: Path) -> None:
    assert group_of(str(tmp_path), name=b"a\xff\n") == "a\\xff\n"


def test_our_own_command_line_and_cgroup_are_read() -> None:
    place = f"/proc/{os.getpid()}"
    assert group_of(place, r"\g<way>=cmdline:(?P<way>pytest)") == "pytest"
    assert str(group_of(place, others="cgroup")).startswith("/")


@pytest.mark.parametrize(
    "text",
    ["", "x", "x=", "=name:y", "x=name:", "x=comm:y", "x=name:(", r"\1=name:x", r"\g<a>=name:(x)"],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Rule.parse(text)
