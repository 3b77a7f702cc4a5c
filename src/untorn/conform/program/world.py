"""What all address spaces of a traced program have in common."""

from untorn.conform.program.engine_calls import EngineCalls
from untorn.conform.program.engine_maps import EngineMaps
from untorn.conform.program.history import History
from untorn.conform.program.open_files import OpenFiles
from untorn.conform.program.outcome import ProgramRun
from untorn.mm.limits import Limits
from untorn.syscalls import Process


class World:
    """Limits, files and results.

    Attributes:
        machine: What bounds any process of this machine.
        files: That are mapped, or are about to be.
        calls: Prepares calls of the engine.
        run: What the run comes to.
        inodes: Numbers of shared memory that the engine was told.
    """

    def __init__(self, machine: Limits, run: ProgramRun, *, records: bool) -> None:
        """Begin.

        Args:
            machine: See above.
            run: See above.
            records: Whether histories are kept.
        """
        self.machine = machine
        self.files = OpenFiles()
        self.calls = EngineCalls(self.files)
        self.run = run
        self.inodes: set[int] = set()
        self._records = records
        self._maps: set[EngineMaps] = set()

    def maps_of(self, engine: Process, old: EngineMaps | None = None) -> EngineMaps:
        """Return what writes the maps of an engine process, in the place of another one perhaps."""
        maps = EngineMaps(engine.mm)
        self._maps.add(maps)
        self._maps.discard(old)
        return maps

    def forget(self, maps: EngineMaps, history: History) -> None:
        """Know that an engine process ended, and how it came to be as it was."""
        self._maps.remove(maps)
        self.close_files()
        if self._records and not history.is_copy:
            self.run.records.append(history)

    def close_files(self) -> None:
        """Close what was kept of files that nobody maps any longer."""
        self.files.keep_only({file for maps in self._maps for file in maps.files})
