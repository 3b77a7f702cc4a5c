"""The site's pages outside docs/: those of the commands, CONTRIBUTING and CHANGELOG.

mkdocs loads this file as a hook and calls the functions below by their names.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # mkdocs loads a hook outside of any package

from tools.manual import as_markdown, pages  # noqa: E402

_ABOVE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages outside docs/, and their names on the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the commands into the navigation."""
    assert config.nav is not None
    commands = dict(_sections(config.nav))["Commands"]
    commands[:] = [{page.command: f"{page.name}.md"} for page in pages()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for page in pages():
        files.append(File.generated(config, f"{page.name}.md", content=as_markdown(page)))
    for name, shown in _ABOVE.items():
        text = re.sub(r"\]\((?!docs/|\w+:)", "](../", (ROOT / name).read_text())
        files.append(File.generated(config, shown, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of docs/ at the site's page, or keep only their text."""
    for name, shown in _ABOVE.items():
        markdown = markdown.replace(f"](../{name}", f"]({shown}")
    return re.sub(r"\[([^]]+)\]\(\.\./[^)]+\)", r"\1", markdown)


def _sections(nav: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the sections of the navigation, each with its entries."""
    for each in nav:
        for name, inside in each.items() if isinstance(each, dict) else ():
            if isinstance(inside, list):
                yield name, inside
                yield from _sections(inside)
