"""The run: every test with every reader; results are printed as KTAP as they come."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace

from untorn.errors import OutOfReachError, describe
from untorn.processes.long_run import Progress, Report, ignore, until_ending
from untorn.race.case import AnyCase, catalogue
from untorn.race.ktap import Ktap
from untorn.race.racing import Effort, Race, UnfitError
from untorn.race.scenario import Scenario, Scene
from untorn.race.tally import RaceResult, Tally
from untorn.race.target import RaceOptions, WriteLine
from untorn.releases.release import Release


class RunHere(ABC):
    """A target whose tests this process runs itself: it opens a scene for each case.

    Attributes:
        name, readers: See RaceTarget.
    """

    name: str
    readers: Mapping[str, tuple[str, ...]]

    @property
    def release(self) -> Release | None:
        """Release of the kernel here; None if there is no kernel."""
        return None

    @abstractmethod
    def disturbance(self) -> str:
        """Return what disturbs the reader: see RaceTarget."""

    @abstractmethod
    def open(self, scenario: Scenario, *, disturb: bool = False) -> AbstractContextManager[Scene]:
        """Make a process and set up the scenario in it; leaving ends writer and process.

        Raises:
            OutOfReachError: This machine, kernel or user cannot do it.
        """

    def race(self, options: RaceOptions, write: WriteLine, report: Report = ignore) -> RaceResult:
        """Run tests: see RaceTarget."""
        runner = _Runner(self, options, Ktap(write), report)
        with until_ending(runner.result):
            runner.run()
        return runner.result


class _Runner:
    """One run; its results are collected in `result`."""

    def __init__(self, target: RunHere, options: RaceOptions, ktap: Ktap, report: Report) -> None:
        self.target, self.options, self.ktap = target, options, ktap
        self.result = RaceResult()
        tests = catalogue()
        cases = len(options.readers) * sum(len(tests[name]) for name in options.tests)
        self.progress = Progress(cases, report)

    def run(self) -> None:
        """Run everything, reader by reader."""
        options, ktap = self.options, self.ktap
        disturbance = self.target.disturbance() if options.disturb else ""
        with ktap.plan(len(options.readers)):
            if disturbance:
                ktap.note(f"disturbance: {disturbance}")
            for reader in options.readers:
                tests = catalogue(options.seed)
                with ktap.plan(len(options.tests)):
                    tallies = [self._test(name, tests[name], reader) for name in options.tests]
                ok = all(tally.good for tally in tallies)
                ktap.result(ok, self._where(reader))
            self._summarize()

    def _where(self, reader: str) -> str:
        return f"{self.target.name} {self.options.kind} {reader}"

    def _summarize(self) -> None:
        result = self.result
        cases = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
        self.ktap.note(f"cases: {cases}; {result.tally}")
        self._explain(result.tally)

    def _test(self, name: str, cases: Sequence[AnyCase], reader: str) -> Tally:
        """Run the cases of a test, as subtests if there are several."""
        effort = self.options.effort
        effort = replace(effort, seconds=effort.seconds / len(cases))
        if len(cases) == 1:
            return self._case(name, cases[0], reader, effort)
        total, skipped = Tally(), self.result.skipped
        with self.ktap.plan(len(cases)):
            for case in cases:
                total.add(self._case(case.name, case, reader, effort))
        all_skipped = self.result.skipped == skipped + len(cases)
        self.ktap.note(f"{name}: {total}")
        self.ktap.result(total.good, name, skip="all of it" if all_skipped else "")
        return total

    def _case(self, name: str, case: AnyCase, reader: str, effort: Effort) -> Tally:
        """Run a case unless an ending was asked for, and write its result."""
        tally, result = Tally(), self.result
        skip = ""
        try:
            if not result.interrupted:
                self.progress.begin(f"{self._where(reader)}: {name}")
                skip = self._race(case, reader, effort, tally)
        except KeyboardInterrupt:
            result.interrupted = True
        if result.interrupted:
            skip = "interrupted"
        self._write(name, tally, skip)
        result.count(tally, skip)
        return tally

    def _race(self, case: AnyCase, reader: str, effort: Effort, tally: Tally) -> str:
        """Let a case race; return why it could not, or an empty string."""
        target, options = self.target, self.options
        try:
            with (
                target.open(case.scenario, disturb=options.disturb) as scene,
                closing(scene.open_file(options.kind, reader)) as file,
            ):
                release = target.release
                case.race(Race(scene, file, options.kind, effort, tally, self._note, release))
        except OutOfReachError as error:
            return str(error)
        except (UnfitError, ValueError) as error:
            tally.fail(f"no race: {error}", [str(error)])
        except OSError as error:
            tally.fail(f"a call failed: {describe(error)}", [describe(error)])
        return ""

    def _write(self, name: str, tally: Tally, skip: str) -> None:
        ktap = self.ktap
        for lines in tally.reports:
            for line in lines:
                ktap.note(line)
        for what, times in tally.broken.items():
            ktap.note(f"{what}: {times} times")
        self._explain(tally)
        if tally.reads:
            ktap.note(f"{name}: {tally}")
        ktap.result(tally.good, name, skip="" if not tally.good else skip)

    def _explain(self, tally: Tally) -> None:
        for fault, times in tally.known.items():
            since = fault.since.since
            self.ktap.note(f"known of Linux since {since}, {times} times: {fault.name}")
            self.ktap.note(f"{fault.reason}; see {fault.docs}")

    def _note(self, heading: str, lines: list[str]) -> None:
        if self.options.verbose:
            for line in (heading, *lines):
                self.ktap.note(line)
