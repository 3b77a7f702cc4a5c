"""What a guest does for a race: the tests of target `live`, on the guest's kernel."""

from typing import Any

from untorn.race.ktap import Ktap
from untorn.race.live import LiveTarget
from untorn.race.plan import Plan
from untorn.race.racing import Effort
from untorn.race.run import run
from untorn.vm.init import Report


class GuestTarget(LiveTarget):
    """The kernel that runs here; by one name for all, as a guest's memory decides what happens."""

    name = "vm:KERNEL"


def race(report: Report, seconds: float, **options: Any) -> dict[str, Any]:
    """Run tests; report each line of KTAP as it comes, and what is being done.

    Args:
        report: Gets a pair: "line" or "doing", and a text.
        seconds: That each test races.
        options: Of Plan.of().

    Returns:
        How many cases passed, failed, were skipped, and why.
    """
    plan = Plan.of(GuestTarget(), effort=Effort(seconds), **options)
    outcome = run(
        plan,
        Ktap(lambda line: report(("line", line))),
        lambda what: report(("doing", what)),
    )
    counts = {"passed": outcome.passed, "failed": outcome.failed, "skipped": outcome.skipped}
    return counts | {"reasons": dict(outcome.reasons)}
