"""The run: every test under every reader, results as KTAP while they come."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from untorn.errors import OutOfReachError, describe
from untorn.processes.endings import endings_held
from untorn.race.catalogue import AnyCase, catalogue
from untorn.race.ktap import Ktap
from untorn.race.plan import Plan
from untorn.race.racing import Effort, Race, UnfitError
from untorn.race.tally import Tally


@dataclass(slots=True)
class Outcome:
    """What a run came to, complete or not.

    Attributes:
        tally: Of all tests together; without reports.
        passed, failed, skipped: Cases.
        reasons: Why cases were skipped.
        interrupted: By Ctrl-C or SIGTERM.
    """

    tally: Tally = field(default_factory=Tally)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    def add(self, other: "Outcome") -> None:
        """Add what another run came to."""
        self.tally.add(other.tally)
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.reasons.update(other.reasons)
        self.interrupted |= other.interrupted


def run(plan: Plan, ktap: Ktap, report: Callable[[str], None] = lambda text: None) -> Outcome:
    """Run the tests of a plan; Ctrl-C or SIGTERM leaves the rest out.

    Args:
        plan: What to run.
        ktap: Where results go.
        report: Is told from time to time what is being done.
    """
    outcome = Outcome()
    try:
        with endings_held():
            _Runner(plan, ktap, report, outcome).run()
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


class _Runner:
    """One run; what it comes to is kept in outcome."""

    def __init__(
        self, plan: Plan, ktap: Ktap, report: Callable[[str], None], outcome: Outcome
    ) -> None:
        self.plan = plan
        self.ktap = ktap
        self.report = report
        self.outcome = outcome
        tests = catalogue()
        self.total = len(plan.readers) * sum(len(tests[name]) for name in plan.tests)

    def run(self) -> None:
        """Run it all, a reader after the other."""
        plan, ktap = self.plan, self.ktap
        disturbance = plan.target.disturbance if plan.disturb else ""
        with ktap.plan(len(plan.readers)):
            if disturbance:
                ktap.note(f"disturbance: {disturbance}")
            for reader in plan.readers:
                tests = catalogue(plan.seed)
                with ktap.plan(len(plan.tests)):
                    tallies = [self._test(name, tests[name], reader) for name in plan.tests]
                ok = all(tally.good for tally in tallies)
                ktap.result(ok, f"{plan.target.name} {plan.kind} {reader}")
            self._summarize()

    def _summarize(self) -> None:
        outcome = self.outcome
        cases = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
        self.ktap.note(f"cases: {cases}; {outcome.tally}")
        self._explain(outcome.tally)

    def _test(self, name: str, cases: Sequence[AnyCase], reader: str) -> Tally:
        """Run the cases of a test, as subtests if there are several."""
        effort = replace(self.plan.effort, seconds=self.plan.effort.seconds / len(cases))
        if len(cases) == 1:
            return self._case(name, cases[0], reader, effort)
        total, skipped = Tally(), self.outcome.skipped
        with self.ktap.plan(len(cases)):
            for case in cases:
                total.add(self._case(case.name, case, reader, effort))
        all_skipped = self.outcome.skipped == skipped + len(cases)
        self.ktap.note(f"{name}: {total}")
        self.ktap.result(total.good, name, skip="all of it" if all_skipped else "")
        return total

    def _case(self, name: str, case: AnyCase, reader: str, effort: Effort) -> Tally:
        """Run a case and write its result."""
        tally = Tally()
        done = self.outcome.passed + self.outcome.failed + self.outcome.skipped
        where = f"{self.plan.target.name} {self.plan.kind} {reader}"
        self.report(f"{where}: {name} ({done + 1} of {self.total})")
        interrupted = self.outcome.interrupted
        skip = "interrupted" if interrupted else self._race(case, reader, effort, tally)
        self._write(name, tally, skip)
        outcome = self.outcome
        outcome.tally.add(tally)
        if not tally.good:
            outcome.failed += 1
        elif skip:
            outcome.skipped += 1
            outcome.reasons[skip] += 1
        else:
            outcome.passed += 1
        return tally

    def _race(self, case: AnyCase, reader: str, effort: Effort, tally: Tally) -> str:
        """Let a case race; return why it did not, or not to the end, or nothing."""
        plan = self.plan
        try:
            with plan.target.open(case.scenario, disturb=plan.disturb) as opened:
                file = opened.open_file(plan.kind, reader)
                try:
                    release = plan.target.release
                    case.race(Race(opened, file, plan.kind, effort, tally, self._note, release))
                finally:
                    file.close()
        except OutOfReachError as error:
            return str(error)
        except (UnfitError, ValueError) as error:
            tally.fail(f"no race: {error}", [str(error)])
        except OSError as error:
            tally.fail(f"a call failed: {describe(error)}", [describe(error)])
        except KeyboardInterrupt:
            self.outcome.interrupted = True
            return "interrupted"
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
            since = ".".join(map(str, fault.since))
            self.ktap.note(f"known of Linux since {since}, {times} times: {fault.name}")
            self.ktap.note(f"{fault.reason}; see {fault.docs}")

    def _note(self, heading: str, lines: list[str]) -> None:
        if self.plan.verbose:
            for line in (heading, *lines):
                self.ktap.note(line)
