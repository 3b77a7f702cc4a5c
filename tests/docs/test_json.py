"""docs/json.md documents every field that a command prints."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.repository import ROOT
from untorn.cli import main

PAGE = (ROOT / "docs/json.md").read_text()
ME = str(os.getpid())
BENCH = "bench --target sim --reader none --nsamples 1 --duration 0.01 --mb 8 --json -"


def section(command: str) -> set[str]:
    """The fields that the section of a command names, and those of the sections it refers to."""
    _, found = PAGE.split(f"\n## untorn {command}\n")
    found = found.split("\n## ")[0]
    others = (section(each) for each in re.findall(r"\(#untorn-(\w+)\)", found))
    return set(re.findall(r"`(\w+)`", found)).union(*others)


def fields(value: Any, inside: frozenset[str]) -> Iterator[str]:
    """The names of fields, also of the objects that some fields hold."""
    for name, each in value.items():
        yield name
        parts = each if isinstance(each, list) else [each]
        if name in inside:
            for part in parts:
                yield from fields(part, inside)


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("by", ["vma", "name", "process"])
def test_fields_of_memory(by: str) -> None:
    told = section("memory")
    for line in printed("memory", ME, "--by", by, "--json").splitlines():
        names = {name.removesuffix("_min").removesuffix("_max") for name in json.loads(line)}
        assert names <= told


def test_fields_of_maps_and_query() -> None:
    lines = printed("maps", ME, "--json").splitlines()
    vma = next(each for each in map(json.loads, lines) if each["name"].startswith("/"))
    assert set(vma) <= section("maps")
    answer = json.loads(
        printed("query", ME, hex(vma["start"]), "--json", "--details", "--build-id")
    )
    assert set(fields(answer, frozenset({"file"}))) <= section("query")


def test_fields_of_stale() -> None:
    told = section("stale")
    assert all(set(json.loads(line)) <= told for line in printed("stale", "--json").splitlines())


def test_fields_of_doctor() -> None:
    inside = frozenset({"environment", "capabilities"})
    assert set(fields(json.loads(printed("doctor", "--json")), inside)) <= section("doctor")


def test_fields_of_a_benchmark() -> None:
    content = json.loads(printed(*BENCH.split()))
    told = section("bench")
    assert set(fields(content, frozenset({"environment", "samples"}))) <= told


def test_fields_of_an_exploration() -> None:
    pytest.importorskip("greenlet")
    content = json.loads(printed("check", "script/a10", "--json", "-"))
    assert set(fields(content, frozenset({"explorations"}))) <= section("check")
