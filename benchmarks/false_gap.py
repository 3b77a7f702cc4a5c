"""Which half of a round makes Linux leave out a mapped range: the split, or the merge.

    python benchmarks/false_gap.py [SECONDS]

The reader, disturbed, reads the first fill that shows the site, over and over, during one write
section; the other half of a round is made without a reader. See docs/false-gap.md.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from untorn.judge.contract import judge
from untorn.judge.history import Range
from untorn.judge.views import Solid
from untorn.maps.maps_file import MapsFile
from untorn.processes.disturbance import disturbance, disturbed
from untorn.race.live import LiveRaceTarget
from untorn.race.merging import ALWAYS_MAPPED, Merging
from untorn.race.passes import read_texts, reading_of
from untorn.race.racing import QUIET
from untorn.race.scenario import Site

Deed = Callable[[Site], None]
Texts = Counter[bytes]


def measure(writer: Merging, half: str, seconds: float) -> str:
    """Return how many sections and reads there were, and how many reads have a false gap."""
    texts = Texts()
    sections = 0
    with LiveRaceTarget().open(writer) as scene, ThreadPoolExecutor(1) as pool, disturbed():
        site, file = writer.site(scene.region), scene.open_file("maps", "kernel")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if half == "split":
                texts += read_during(scene.modify, site, file, pool)
                scene.restore(site)
            else:
                scene.modify(site)
                texts += read_during(scene.restore, site, file, pool)
            sections += 1
        file.close()
    gaps = sum(times for text, times in texts.items() if has_gap(text, writer, scene.region))
    return f"{writer.name}, {half}: sections {sections}, reads {texts.total()}, gaps {gaps}"


def read_during(deed: Deed, site: Site, file: MapsFile, pool: ThreadPoolExecutor) -> Texts:
    """Read the first fill over and over until the section ends; count each text."""
    texts = Texts()
    done = pool.submit(deed, site)
    while not done.done():
        texts[read_texts(file, 1)[0]] += 1
    done.result()
    return texts


def has_gap(text: bytes, writer: Merging, region: Range) -> bool:
    """Return whether a fill leaves out a range that the writer keeps mapped."""
    solid = Solid(writer.solid(region, writer.site(region)))
    return judge(solid, reading_of([text], "maps", QUIET), region).gaps > 0


def main() -> None:
    """Measure both halves of a round of each writer that keeps all mapped."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(f"disturbance: {disturbance()}")
    for writer in ALWAYS_MAPPED:
        for half in "split", "merge":
            print(measure(writer, half, seconds), flush=True)


if __name__ == "__main__":
    main()
