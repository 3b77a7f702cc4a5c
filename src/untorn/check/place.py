"""Places in the source, as stories name them."""

from pathlib import Path

_HERE = str(Path(__file__).parent)


def is_checkers(file: str) -> bool:
    """Say whether a file is the checker's own, and so of no interest."""
    return file.startswith(_HERE)


def place(file: str, line: int | None) -> str:
    """Return a place as people like to read it: folder, file and line."""
    path = Path(file)
    return f"{file if file.startswith('<') else f'{path.parent.name}/{path.name}'}:{line}"
