"""The manual of every command, made from the parser that reads its options.

    python tools/manual.py DIR    write untorn.1, untorn-maps.1, ... into DIR

The site shows the same pages (tools/website.py). click-man and mkdocs-click leave out epilogs,
where our commands have their examples and their exit status.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from untorn import __version__
from untorn.cli import main


@dataclass(frozen=True, slots=True)
class Page:
    r"""The manual's contents for one command.

    Attributes:
        command: The command as typed, such as "untorn maps".
        summary: One sentence.
        synopsis: The arguments after the name.
        description: Paragraphs; one that begins with "\b" keeps its lines.
        options: Each option's form, and what it does.
        commands: The name of each command below this one, and its summary.
        examples: Lines for a shell.
        exit_status: The meaning of each status.
    """

    command: str
    summary: str
    synopsis: str
    description: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    examples: str
    exit_status: str

    @property
    def name(self) -> str:
        """The name of the page, such as untorn-maps."""
        return self.command.replace(" ", "-")


def pages(command: click.Command = main, above: click.Context | None = None) -> Iterator[Page]:
    """Yield the page of a command, then those of the commands below it."""
    name = command.name if above else "untorn"
    context = click.Context(command, parent=above, info_name=name, **command.context_settings)
    below = _below(command, context)
    yield _page(context, below)
    for each in below:
        yield from pages(each, context)


def _below(command: click.Command, context: click.Context) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return []
    found = (command.get_command(context, name) for name in command.list_commands(context))
    return [each for each in found if each]


def _page(context: click.Context, below: list[click.Command]) -> Page:
    command = context.command
    examples, exit_status = _epilog(inspect.cleandoc(command.epilog or "").removeprefix("\b\n"))
    options = (each for each in command.get_params(context) if isinstance(each, click.Option))
    records = (each.get_help_record(context) for each in options)
    return Page(
        context.command_path,
        _summary(command),
        " ".join(command.collect_usage_pieces(context)),
        tuple(inspect.cleandoc(command.help or "").split("\n\n")),
        tuple(each for each in records if each),
        tuple((each.name or "", _summary(each)) for each in below),
        examples,
        exit_status,
    )


def _summary(command: click.Command) -> str:
    first, _, _ = inspect.cleandoc(command.help or "").partition("\n\n")
    return " ".join(first.split())


def _epilog(text: str) -> tuple[str, str]:
    """Return the examples and the exit status of an epilog."""
    examples, _, exit_status = text.partition("Exit status:")
    examples = inspect.cleandoc(examples.replace("Example:", " " * len("Example:"), 1))
    return examples.strip("\n"), " ".join(exit_status.split())


def as_man(page: Page) -> str:
    """Return a page for man(1), in the language of man(7)."""
    title = page.name.upper()
    lines = [f'.TH "{title}" 1 "" "untorn {__version__}" "untorn"']
    lines += [".SH NAME", f"{_roff(page.name)} \\- {_roff(page.summary.rstrip('.'))}"]
    lines += [".SH SYNOPSIS", f".B {_roff(page.command)}", _roff(page.synopsis)]
    lines.append(".SH DESCRIPTION")
    for paragraph in page.description:
        kept = paragraph.startswith("\b")
        lines += [".PP", *_verbatim(paragraph.lstrip("\b\n"), kept)]
    for heading, records in (("OPTIONS", page.options), ("COMMANDS", page.commands)):
        lines += [f".SH {heading}"] if records else []
        for name, meaning in records:
            lines += [".TP", f"\\fB{_roff(name)}\\fR", _roff(meaning)]
    lines += [".SH EXAMPLES", *_verbatim(page.examples, True)] if page.examples else []
    lines += [".SH EXIT STATUS", _roff(page.exit_status)] if page.exit_status else []
    return "\n".join(lines) + "\n"


def _verbatim(text: str, kept: bool) -> list[str]:
    """Return a paragraph whose viewer keeps its lines, or fills them."""
    return [".nf", _roff(text), ".fi"] if kept else [_roff(text)]


def _roff(text: str) -> str:
    """Escape text that roff would take for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def as_markdown(page: Page) -> str:
    """Return a page for the site."""
    parts = [f"# {page.command}", f"```text\n{page.command} {page.synopsis}\n```"]
    for paragraph in page.description:
        kept = paragraph.startswith("\b")
        parts.append(f"```text\n{paragraph[2:]}\n```" if kept else _words(paragraph))
    if page.options:
        rows = (f"| `{_cell(name)}` | {_cell(_words(text))} |" for name, text in page.options)
        parts.append("\n".join(("## Options\n\n| option | |\n|---|---|", *rows)))
    if page.commands:
        rows = (f"| [{name}]({page.name}-{name}.md) | {text} |" for name, text in page.commands)
        parts.append("\n".join(("## Commands\n\n| command | |\n|---|---|", *rows)))
    parts += [f"## Examples\n\n```sh\n{page.examples}\n```"] if page.examples else []
    parts += [f"## Exit status\n\n{page.exit_status}"] if page.exit_status else []
    return "\n\n".join(parts) + "\n"


def _words(text: str) -> str:
    """Escape text that Markdown would take for HTML or emphasis."""
    return re.sub(r"([<*_[\]])", r"\\\1", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(folder: Path) -> None:
    """Make a folder and write all man pages into it."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        (folder / f"{page.name}.1").write_text(as_man(page))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").split("\n\n")[1])
    write(Path(sys.argv[1]))
