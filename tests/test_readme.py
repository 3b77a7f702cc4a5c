"""What the README shows works as it stands there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from untorn.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = sorted(set(re.findall(r"^untorn (.*)$", README, re.MULTILINE)))


def test_the_python_example_prints_what_it_says(capsys) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["rw-p", "r--p", "rw-p"]
    assert lines[-1] == "8192"


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line) -> None:
    arguments = shlex.split(line.split("|")[0], comments=True)
    command = main.get_command(click.Context(main), arguments[0])
    assert command is not None
    with command.make_context(arguments[0], arguments[1:]) as context:
        assert context.params


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_make_targets_exist(target) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(path) -> None:
    assert (ROOT / path).exists()
