"""Cases that other people's test suites check, written anew; one file per suite."""

from pathlib import Path

_HERE = Path(__file__).parent


def suite_names() -> list[str]:
    """Return the names of all suites."""
    return sorted(path.stem for path in _HERE.glob("*.cases"))


def suite_text(name: str) -> str:
    """Return the cases of a suite, as parse_cases() reads them."""
    return (_HERE / f"{name}.cases").read_text()
