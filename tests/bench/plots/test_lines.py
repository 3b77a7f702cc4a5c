"""Which readers become lines, in which order, and the note on the others."""

from collections.abc import Sequence

from tests.helpers.made_up import sample
from untorn.bench.plots.lines import MOST, Kind, choose, colours, left_out, lines_of
from untorn.bench.sample import Sample

READERS = ("none", "clear_refs", "memory", "smaps_rollup", "psutil", "gentle", "query", "maps")


def texts(samples: Sequence[Sample], *named: str) -> list[str]:
    return [line.text for line in lines_of(samples, named)[0]]


def kinds(*readers: str) -> list[Kind]:
    return [Kind(reader, "") for reader in readers]


def test_none_comes_first_and_the_others_from_worst_to_best_each_with_its_ratio() -> None:
    runs = [sample("t", "maps", 0, 2.9), sample("t", "none", 0, 1.0), sample("t", "smaps", 0, 50.0)]
    assert texts(runs) == ["none", "smaps  50x", "maps  2.9x"]


def test_without_none_a_line_has_its_name_only() -> None:
    assert texts([sample("t", "maps", 0, 2.9)]) == ["maps"]


def test_at_most_six_are_chosen_in_a_fixed_order() -> None:
    chosen = choose(kinds(*READERS), ())
    assert len(chosen) == MOST
    assert chosen == kinds("none", "maps", "query", "gentle", "psutil", "memory")
    assert left_out(kinds(*READERS), chosen) == "not drawn: clear_refs, smaps_rollup"


def test_those_that_were_named_come_before_others() -> None:
    chosen = choose(kinds(*READERS, "odd"), ("clear_refs", "odd"))
    assert chosen == kinds("none", "clear_refs", "odd", "maps", "query", "gentle")


def test_a_variant_has_a_line_only_if_it_was_named() -> None:
    gentle, usual = Kind("gentle", "smaps"), Kind("gentle", "")
    assert choose([usual, gentle], ("gentle",)) == [usual]
    assert left_out([usual, gentle], [usual]) == "not drawn: 1 variant"
    assert choose([usual, gentle], ("gentle, smaps",)) == [gentle, usual]
    assert (usual.stroke, gentle.stroke) == ("-", "--")


def test_a_command_is_called_by_itself_and_a_long_one_is_cut() -> None:
    command = Kind("exec", "cat /proc/{pid}/smaps_rollup /proc/{pid}/numa_maps")
    assert command.short == "cat /proc/{pid}/smaps_rol…"
    assert choose([command], (command.name,)) == [command]
    assert command.stroke == "-"


def test_each_line_has_a_colour_of_its_own() -> None:
    commands = [Kind("exec", name) for name in "abcde"]
    for chosen in (commands, choose(kinds(*READERS), ()), [*kinds("psutil"), *commands]):
        assert len(set(colours(chosen).values())) == len(chosen)


def test_a_run_that_hung_has_no_line() -> None:
    lines, remark = lines_of([sample("t", "maps", 0, hung=True), sample("t", "none", 0, 1.0)], ())
    assert [line.kind.reader for line in lines] == ["none"]
    assert remark == ""
