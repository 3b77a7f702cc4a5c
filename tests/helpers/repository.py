"""Where this repository is, and how to run its command."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNTORN = [sys.executable, "-m", "untorn"]
