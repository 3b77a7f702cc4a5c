"""Make the table of changes in docs/releases.md: `python -m untorn.releases.table` prints it."""

from untorn.releases.changes import all_changes
from untorn.releases.release import Change


def table() -> str:
    """Return the table as Markdown, the oldest change first."""
    head = ["| since | behaviour, and what it was before | name | source |", "|---|---|---|---|"]
    return "\n".join([*head, *(_row(name, change) for name, change in all_changes())])


def _row(name: str, change: Change) -> str:
    since = ", ".join([str(change.since), *map(str, change.carried_back)])
    return f"| {since} | {change.what} | `{name}` | `{change.source}` |"


if __name__ == "__main__":
    print(table())
