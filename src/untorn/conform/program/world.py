"""What all address spaces of a traced program share."""

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
        machine: Limits of any process on this machine.
        files: Files that are mapped, or are about to be.
        calls: Prepares the engine's calls.
        run: The results.
        inodes: Inode numbers of shared memory that the engine was given.
    """

    def __init__(self, machine: Limits, run: ProgramRun, *, records: bool) -> None:
        """Start without address spaces.

        Args:
            machine: See above.
            run: See above.
            records: Whether to keep histories.
        """
        self.machine = machine
        self.files = OpenFiles()
        self.calls = EngineCalls(self.files)
        self.run = run
        self.inodes: set[int] = set()
        self._records = records
        self._maps: set[EngineMaps] = set()

    def maps_of(self, engine: Process, old: EngineMaps | None = None) -> EngineMaps:
        """Return a writer of an engine process's maps, perhaps in the place of an old one."""
        maps = EngineMaps(engine.mm)
        self._maps.add(maps)
        self._maps.discard(old)
        return maps

    def forget(self, maps: EngineMaps, history: History) -> None:
        """Record that an engine process ended, and how it got its last form."""
        self._maps.remove(maps)
        self.close_files()
        if self._records and not history.is_copy:
            self.run.records.append(history)

    def close_files(self) -> None:
        """Close the descriptors of files that nobody maps any longer."""
        self.files.keep_only({file for maps in self._maps for file in maps.files})
