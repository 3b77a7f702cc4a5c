"""A command line that takes the scanners' place: see --exec."""

import shlex
import shutil

EXEC = "exec"
"""The reader that is a command line, which its variant spells."""
_PID = "{pid}"


def check_command(text: str) -> None:
    """Raise ValueError with the reason if it is no command line, or its program is not here."""
    words = shlex.split(text)
    if not words:
        raise ValueError("there is no command")
    if shutil.which(words[0]) is None:
        raise ValueError(f"there is no program {words[0]}")


def fill_in(text: str, pid: int) -> list[str]:
    """Split a command line as a shell does; each {pid} in it becomes the mapper's process id."""
    return [word.replace(_PID, str(pid)) for word in shlex.split(text)]
