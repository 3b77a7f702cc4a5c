"""Target sim: exact figures, and how they compare the lockings."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from untorn.bench.sample import Sample
from untorn.bench.sim import SimBenchTarget
from untorn.bench.target import BenchOptions

SMALL = BenchOptions(virtual_duration=0.01, mb=1)


def run(reader: str, options: BenchOptions = SMALL, release: str = "") -> Sample:
    return SimBenchTarget(release).run(reader, options, 0)


def test_two_processes_with_other_hash_seeds_write_the_same_bytes() -> None:
    command = (
        *(sys.executable, "-m", "untorn", "bench", "--target", "sim", "--reader", "none"),
        *("--reader", "vma_lock", "--nsamples", "2", "--duration", "0.01", "--mb", "1"),
        *("--json", "-"),
    )
    outputs = [
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            cwd=folder,
        ).stdout
        for seed, folder in (("1", "/"), ("2", "/tmp"))
    ]

    assert outputs[0] == outputs[1]
    assert [each["updates"] > 100 for each in json.loads(outputs[0])["samples"]] == [True] * 4


@pytest.mark.parametrize("reader", SimBenchTarget.readers)
def test_every_reader_reads_beside_the_mapper(reader: str) -> None:
    sample = run(reader)

    assert sample.updates > 10
    assert (sample.bytes_read > 0) is (reader != "none")


def test_another_seed_gives_other_figures_and_the_same_seed_the_same() -> None:
    assert run("maps") == run("maps")
    assert run("maps").mean_ms != run("maps", replace(SMALL, seed=2)).mean_ms


def test_maps_is_read_as_the_release_reads_it() -> None:
    old, new = run("maps", release="6.12"), run("maps", release="7.3")

    assert old.mean_ms == run("mmap_lock", release="6.12").mean_ms
    assert new.mean_ms == run("vma_lock", release="7.3").mean_ms


def test_locks_of_a_pass_are_those_of_the_engine() -> None:
    assert SimBenchTarget("6.12").count_locks("query").acquisitions > 2000
    assert SimBenchTarget("7.3").count_locks("query").acquisitions == 0


# One scanner and one busy task that keeps preempting it. With two of each CPU 1 is never idle, and
# a scanner of nice 15 that holds a lock waits for tens of ms: then rare stalls decide the means.
HEADLINE = BenchOptions(virtual_duration=0.2, mb=64, scanners=1)


@cache
def mean_ms(reader: str) -> float:
    return run(reader, HEADLINE).mean_ms


def test_mmap_lock_costs_ten_times_what_vma_lock_does() -> None:
    assert mean_ms("mmap_lock") >= 10 * mean_ms("vma_lock")


def test_vma_lock_adds_half_of_a_call_at_most() -> None:
    assert mean_ms("vma_lock") <= 1.5 * mean_ms("none")


def test_rcu_is_between_them() -> None:
    assert mean_ms("vma_lock") < mean_ms("rcu") < mean_ms("mmap_lock")
