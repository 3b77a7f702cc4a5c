"""The examples of the README and of every page run; commands and links exist.

A block after the line `<!-- example -->` is run as it is. A page's Python blocks run one after the
other in one namespace, its shell blocks each by itself. `<!-- example: mount -->` needs FUSE.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest

from tests.helpers.repository import ROOT
from untorn.cli import main
from untorn.reader.access.priority import NotRaisedWarning
from untorn.serve.fuse.support import mount_refusal

PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
TEXTS = {page.relative_to(ROOT): page.read_text() for page in PAGES}
BLOCK = re.compile(r"^<!-- example(?:: (\w+))? -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES: list[tuple[Path, str | None, str, str]] = [
    (page, match[1], match[2], match[3]) for page in TEXTS for match in BLOCK.finditer(TEXTS[page])
]
PYTHON = sorted({page for page, _, language, _ in EXAMPLES if language == "python"})
SHELL = [(page, need, text) for page, need, language, text in EXAMPLES if language == "sh"]
CODE = re.compile(r"^```.*?^```$|^    .*?$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:    |\$ )?untorn (.*?)(?: *&)?$", re.MULTILINE)
COMMANDS = sorted(
    {
        command
        for text in TEXTS.values()
        for code in CODE.findall(text.replace("\\\n", ""))
        for command in COMMAND.findall(code)
    }
)
MAKEFILE = (ROOT / "Makefile").read_text()
LINKS = sorted(
    {
        (page, link)
        for page, text in TEXTS.items()
        for link in re.findall(r"\]\(([^):\s]+)\)", CODE.sub("", text))
    }
)


def test_every_page_for_a_newcomer_has_examples() -> None:
    having = {str(page) for page, *_ in EXAMPLES}
    assert {"README.md", *(str(each) for each in TEXTS if "tutorial-" in each.name)} <= having


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    shown = set(re.findall(r"\S+\.md$", navigation, re.MULTILINE))
    assert {page.name for page in TEXTS if page.parent.name == "docs"} <= shown


@pytest.mark.parametrize("page", PYTHON, ids=str)
def test_examples_in_python_run(page: Path) -> None:
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotRaisedWarning)
        for where, _, language, text in EXAMPLES:
            if (where, language) == (page, "python"):
                exec(compile(text, str(page), "exec"), names)


@pytest.mark.live
@pytest.mark.parametrize(("page", "need", "text"), SHELL, ids=lambda each: str(each).split("\n")[0])
def test_examples_for_a_shell_run(page: Path, need: str | None, text: str, tmp_path: Path) -> None:
    if need == "mount" and (refusal := mount_refusal()):
        pytest.skip(refusal)
    (tmp_path / "untorn").symlink_to(Path(sys.executable).with_name("untorn"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    script = text.replace("/tmp/proc", str(tmp_path / "proc")) + "\nwait\n"
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", script],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert not re.search(r"^(Error|Usage|bash):", done.stderr, re.MULTILINE), done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(re.split(r" [|>] | 2>", line)[0], comments=True)
    for each in arguments:
        if re.fullmatch(r"\w+\.(cases|calls)", each):
            Path(each).touch()
    command = main.get_command(click.Context(main), arguments[0])
    assert command is not None
    command.make_context(arguments[0], arguments[1:]).close()


@pytest.mark.parametrize(
    "target",
    sorted({each for text in TEXTS.values() for each in re.findall(r"\bmake ([a-z-]+)`", text)}),
)
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize(("page", "link"), LINKS, ids=str)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = ROOT / page.parent / path if path else ROOT / page
    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text())


def anchors(text: str) -> set[str]:
    """The anchors of a page, as GitHub and the site make them from its headings."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", each.lower())) for each in headings}
