"""Write histories as a file of cases; `untorn conform --script` makes them without the program."""

from collections.abc import Iterable, Iterator

from untorn.conform.program.history import History
from untorn.conform.script_text import format_operation, format_result


def format_records(records: Iterable[History], command: str) -> Iterator[str]:
    """Yield lines: a case for each address space, with the outcomes of its calls.

    Args:
        records: The history of each address space.
        command: The command that made them.
    """
    yield f"# The memory calls of {command!r}, by address space. Files are substitutes."
    for number, history in enumerate(records, 1):
        yield ""
        yield f"case address space {number}"
        for position, operation in enumerate(history.operations):
            error = history.errors.get(position)
            result = f" -> {format_result(error)}" if error is not None else ""
            yield f"{format_operation(operation)}{result}"
