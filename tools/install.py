"""Install this package, and what its tests need as far as it can be had here.

    python tools/install.py

Where no version of a package has a wheel for this Python, installing it may take a compiler. What
cannot be installed is left out, after a line that says why; the tests that need it are skipped.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = "--quiet", "--disable-pip-version-check", "--prefer-binary"
"""An older wheel rather than a newer source: to compile numpy takes half an hour."""
PIP = sys.executable, "-m", "pip", "install", *OPTIONS


def refusal(*what: str) -> str:
    """Install something; return pip's reason if it cannot be done, else an empty text."""
    done = subprocess.run([*PIP, *what], stderr=subprocess.PIPE, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return "" if not done.returncode else (errors or ["pip failed"])[-1].removeprefix("ERROR: ")


def main() -> int:
    """Install all at once if that works, else one after the other."""
    if not refusal("--editable", f"{ROOT}[test]"):
        return 0
    if reason := refusal("--editable", str(ROOT)):
        print(reason, file=sys.stderr)
        return 1
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for wanted in project["optional-dependencies"]["test"]:
        if reason := refusal(wanted):
            print(f"left out: {wanted}: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
