"""python -m untorn."""

from untorn.cli import main

if __name__ == "__main__":
    main(prog_name="untorn")
