"""The cases of the race tests: a writer, a way to read, and how the reading is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from untorn.errors import OutOfReachError
from untorn.judge.history import Range
from untorn.judge.reading import Fill, Reading
from untorn.race.boundary import Edges, Pattern, find_boundary, show_boundary
from untorn.race.merging import ALWAYS_MAPPED, MERGES
from untorn.race.passes import WAYS, read_fills, read_texts, reading_of, walk
from untorn.race.racing import QUIET, Judged, Race, lines_within
from untorn.race.random_writer import RandomWriter
from untorn.race.scenario import Scenario
from untorn.race.tearing import SIZE, Remap, Resize, Split, Tearing
from untorn.race.witness import Clock, Witness, witness_of


@dataclass(frozen=True, slots=True)
class Case:
    """Passes over the whole map, read in one way.

    Attributes:
        name: Its name among the cases of its test.
        scenario: What the writer does.
        way: How the map is read: one of WAYS.
        views: Whether each round goes through the same two states.
    """

    name: str
    scenario: Scenario
    way: str = "fills"
    views: bool = True

    def race(self, race: Race) -> None:
        """Race reader and writer.

        Raises:
            UnfitError: The map does not change as the scenario says.
            OutOfReachError: The file cannot be read that way.
            OSError: The writer failed.
        """
        look, region = WAYS[self.way], race.scene.region
        if look is walk and (reason := race.file.find_query_refusal()):
            raise OutOfReachError(f"no PROCMAP_QUERY on {race.kind}: {reason}")
        site = self.scenario.site(region)
        near = site.addr - SIZE, site.addr + 3 * SIZE
        views = None
        if self.views:
            captured = race.capture(
                site,
                lambda: look(race.file, race.kind, QUIET),
                lambda reading: [str(line) for line in lines_within(near, reading)],
            )
            views = [lines_within(region, reading) for reading in captured]
        witness = witness_of(race.scene, self.scenario, site, views)
        if views is not None and race.scene.record is None and look is read_fills:
            one_pass = _again_and_again(race, witness, _fills_of(near, captured[1]))
        else:

            def one_pass() -> None:
                race.judge(look(race.file, race.kind, witness.clock), witness)

        race.against_writer(site, one_pass)


def _fills_of(near: Range, reading: Reading) -> int:
    """Return how many fills, from the first on, it takes to show a range."""
    return max(n for n, fill in enumerate(reading.fills, 1) if lines_within(near, Reading([fill])))


def _again_and_again(race: Race, witness: Witness, count: int) -> Callable[[], None]:
    """Return a pass over the first `count` fills that takes little longer than reading them.

    The witness does not care when a reading was made, and few texts differ: each is judged only the
    first time that it is read.
    """
    known: dict[tuple[bytes, ...], Judged] = {}

    def one_pass() -> None:
        texts = read_texts(race.file, count)
        judged = known.get(texts)
        if judged is None:
            judged = known[texts] = Judged.of(reading_of(texts, race.kind, witness.clock), witness)
        race.count(judged)

    return one_pass


@dataclass(frozen=True, slots=True)
class BoundaryCase:
    """Passes over the two fills at a boundary, where the writer tears a VMA at the end of a fill.

    Attributes:
        name: Its name among the cases of its test.
        scenario: What the writer does.
    """

    name: str
    scenario: Tearing

    def race(self, race: Race) -> None:
        """Race reader and writer; in each pass, also query a file that has the ioctl.

        Raises:
            UnfitError: The map does not change as the scenario says.
            OSError: The writer failed.
        """
        number, site = find_boundary(
            read_fills(race.file, race.kind, QUIET), self.scenario, race.scene.region
        )

        def look(clock: Clock) -> Reading:
            return read_fills(race.file, race.kind, clock, number + 2)

        captured = race.capture(
            site, lambda: look(QUIET), lambda reading: show_boundary(reading, number)
        )
        pattern = Pattern.capture(self.scenario, *(Edges.of(each, number) for each in captured))
        views = [lines_within(race.scene.region, reading) for reading in captured]
        witness = witness_of(race.scene, self.scenario, site, views)
        asks = not race.file.find_query_refusal()

        def one_pass() -> None:
            reading = look(witness.clock)
            race.judge(reading, witness)
            _hold(
                race, pattern.objection(Edges.of(reading, number)), show_boundary(reading, number)
            )
            if asks:
                _ask(race, pattern, witness)

        race.against_writer(site, one_pass)


def _ask(race: Race, pattern: Pattern, witness: Witness) -> None:
    """Query the address that is always mapped, and judge the answer."""
    first = witness.clock.begin()
    answer = race.file.query(pattern.asked).entry
    reading = Reading([Fill((answer,), first, witness.clock.end())])
    race.judge(reading, witness, answer[:2])
    _hold(race, pattern.objection_to_answer(answer), [str(answer)])


def _hold(race: Race, objection: str | None, shown: list[str]) -> None:
    if objection is not None:
        race.tally.fail(objection, [objection, *shown])


AnyCase = Case | BoundaryCase
TEARING = Split(), Resize(), Remap()


def catalogue(seed: int = 0) -> Mapping[str, tuple[AnyCase, ...]]:
    """Return the cases of each test by its name, in the order in which they run.

    The seed determines what random writers do.
    """
    tests: dict[str, tuple[AnyCase, ...]] = {}
    for tearing in TEARING:
        tests[tearing.name] = (BoundaryCase("at a fill boundary", tearing),)
    for tearing in TEARING:
        tests[f"{tearing.name}-inside"] = (Case("inside a fill", tearing),)
    tests["merge"] = tuple(Case(merging.name, merging) for merging in MERGES)
    tests["no-false-gap"] = tuple(
        Case(f"{writer.name}, read in {way}", writer, way)
        for writer in ALWAYS_MAPPED
        for way in ("fills", "records")
    )
    tests["query-walk"] = tuple(
        Case(writer.name, writer, "queries") for writer in (*TEARING, *ALWAYS_MAPPED)
    )
    tests["random"] = tuple(
        Case(f"read in {way}", RandomWriter(f"{seed}/{way}"), way, views=False) for way in WAYS
    )
    return tests
