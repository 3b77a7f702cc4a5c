"""Install this package, and as much of what its tests need as can be installed here.

    python tools/install.py

If no version of a package has a wheel for this Python, installing it may need a compiler. A package
that cannot be installed is left out, with a line that says why; the tests that need it are skipped.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = "--quiet", "--disable-pip-version-check", "--prefer-binary"
"""Prefer an older wheel to a newer source: compiling numpy takes half an hour."""
PIP = sys.executable, "-m", "pip", "install", *OPTIONS


def refusal(*what: str) -> str:
    """Install packages; return pip's reason if that fails, else an empty string."""
    done = subprocess.run([*PIP, *what], stderr=subprocess.PIPE, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return "" if not done.returncode else (errors or ["pip failed"])[-1].removeprefix("ERROR: ")


def main() -> int:
    """Install all at once if possible, else one after the other."""
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
