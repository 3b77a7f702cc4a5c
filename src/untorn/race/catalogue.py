"""The race tests by name, in the order in which they are run."""

from collections.abc import Mapping

from untorn.race.case import BoundaryCase, Case
from untorn.race.merging import ALWAYS_MAPPED, MERGES
from untorn.race.passes import WAYS
from untorn.race.random_writer import RandomWriter
from untorn.race.tearing import Remap, Resize, Split

AnyCase = Case | BoundaryCase
TEARING = Split(), Resize(), Remap()


def catalogue(seed: int = 0) -> Mapping[str, tuple[AnyCase, ...]]:
    """Return the cases of each test; the seed decides what random writers do."""
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
