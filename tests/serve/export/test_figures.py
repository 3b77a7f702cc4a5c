"""Figures of groups."""

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.export import maps, process, sums
from untorn.serve.export.figures import by_group
from untorn.serve.export.process_looks import Maps, Seen, Sums

NUMBERS = st.integers(0, 1 << 40)
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.none() | st.builds(maps, st.floats(0, 9), st.integers(1, 99), NUMBERS),
        st.none() | st.builds(sums, st.floats(0, 9), st.none() | NUMBERS),
    ),
    max_size=6,
)


@given(MEMBERS)
def test_a_sum_is_of_all_processes_of_the_group_or_absent(
    members: list[tuple[str, Maps | None, Sums | None]],
) -> None:
    seen = [
        Seen(process(pid, group), mapped, had) for pid, (group, mapped, had) in enumerate(members)
    ]
    for group, figures in by_group(seen, 100, now=10).items():
        of = [each for each in seen if each.process.group == group]
        assert figures.processes == len(of)
        sizes = [each.sums.resident if each.sums else None for each in of]
        known = [size for size in sizes if size is not None]
        assert figures.resident == (sum(known) if len(known) == len(of) else None)
        mapped = [each.maps for each in of if each.maps]
        if len(mapped) == len(of):
            assert figures.vmas == sum(each.vmas for each in mapped)
            assert figures.deleted_files == sum(each.deleted for each in mapped)
            assert figures.map_count == max(each.vmas for each in mapped) / 100
        else:
            assert {figures.vmas, figures.deleted_files, figures.map_count} == {None}
        assert figures.unknown_processes == sum(not (each.maps and each.sums) for each in of)


def test_each_figure_is_of_its_own_field() -> None:
    had = sums(7)._replace(
        resident=1, proportional=2, unique=3, swapped=4, longest_hold_ns=5 * 10**9
    )
    (figures,) = by_group([Seen(process(1), maps(8, 6, 7), had)], None, now=10).values()
    assert (figures.resident, figures.proportional, figures.unique) == (1, 2, 3)
    assert (figures.swapped, figures.longest_hold, figures.vmas) == (4, 5, 6)
    assert (figures.deleted_files, figures.figures_age, figures.map_count) == (7, 3, None)
