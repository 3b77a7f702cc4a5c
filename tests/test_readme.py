"""What the README and the page for agents show works as it stands there."""

import re
import shlex
import shutil
import warnings

import click
import pytest

from tests.helpers.repository import ROOT
from untorn.cli import main
from untorn.reader.access.priority import NotRaisedWarning

README, AGENTS = ((ROOT / page).read_text() for page in ("README.md", "docs/agents.md"))
MAKEFILE = (ROOT / "Makefile").read_text()
LINES = (README + AGENTS).replace("\\\n", "")
COMMANDS = sorted(set(re.findall(r"^untorn (.*)$", LINES, re.MULTILINE)))


def test_the_python_examples_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot, engine = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(snapshot, "README.md", "exec"), {})
    assert "Coherence(" in capsys.readouterr().out
    exec(compile(engine, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["rw-p", "r--p", "rw-p"]
    assert lines[-1] == "4096"


def test_the_agents_example_counts_vmas(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", AGENTS, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotRaisedWarning)
        exec(compile(example, "agents.md", "exec"), {})
    assert re.fullmatch(r"[1-9]\d+ VMAs\n", capsys.readouterr().out)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    arguments = shlex.split(line.split("|")[0], comments=True)
    command = main.get_command(click.Context(main), arguments[0])
    assert command is not None
    with command.make_context(arguments[0], arguments[1:]) as context:
        assert context.params


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
