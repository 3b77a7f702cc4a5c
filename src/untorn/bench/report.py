"""The figures of a benchmark: as JSON, and as the columns of the original benchmark."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from untorn.bench.environment import Environment
from untorn.bench.run import BenchResult
from untorn.bench.sample import Sample, Summary, by_kind
from untorn.bench.target import BenchOptions


def as_json(result: BenchResult, environment: Environment, options: BenchOptions) -> str:
    """Return one JSON object: environment, options, samples, and the kinds out of reach."""
    content = {
        "environment": asdict(environment),
        "options": asdict(options),
        "guests": {name: asdict(guest) for name, guest in result.guests.items()},
        "locks": [asdict(each) for each in result.lock_counts],
        "samples": [each.as_json() for each in result.samples],
        "out_of_reach": result.out_of_reach,
        "interrupted": result.interrupted,
    }
    return json.dumps(content, indent=2)


def rawdata(samples: Iterable[Sample]) -> str:
    """Return a block per target and reader: a header line and three columns in ms.

    The median over the runs of their means, the same on every line; the means, sorted; the
    maxima, sorted. Means and maxima are sorted apart: a line is not one run. Runs that hung
    have neither. Source: run-proc-vs-map.sh --rawdata of paulmckrcu/proc-mmap_sem-test.
    """
    return "\n".join(_block(group) for group in by_kind(samples))


def _block(samples: list[Sample]) -> str:
    summary = Summary.of(samples)
    name = " ".join(filter(None, (summary.target, summary.reader, summary.variant)))
    measured = [each for each in samples if each.updates]
    means = sorted(each.mean_ms for each in measured)
    maxima = sorted(each.max_ms for each in measured)
    lines = [f"# {name}: median, mean, max in ms; {summary.hangs} hangs"]
    lines += [
        f"{summary.mean_ms:9.3f} {mean:9.3f} {largest:9.3f}"
        for mean, largest in zip(means, maxima, strict=True)
    ]
    return "\n".join(lines) + "\n"
