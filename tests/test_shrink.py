"""What is left of items that make something fail: of none more is there than is needed."""

from untorn.shrink import fewest, shrink


def test_shrinking_leaves_what_is_needed() -> None:
    kept = shrink(list(range(100)), lambda left: {17, 59} <= set(left), lambda item: [])
    assert kept == [17, 59]


def test_shrinking_leaves_out_two_that_are_there_only_for_each_other() -> None:
    def fails(left: list[str]) -> bool:
        return "fault" in left and ("(" in left) == (")" in left)

    assert shrink(["(", "fault", "x", ")"], fails, lambda item: []) == ["fault"]


def test_shrinking_makes_simpler_what_can_be() -> None:
    kept = shrink([5, 9, 3], lambda left: sum(left) >= 9, lambda item: range(item))
    assert kept == [9]


def test_what_failed_with_fewer_than_were_tried_goes_on_with_those() -> None:
    def attempt(left: list[int]) -> list[int] | None:
        return [item for item in left if item >= 5] if {5, 8} <= set(left) else None

    assert fewest(list(range(10)), attempt) == [5, 8]


def test_nothing_is_left_of_items_that_it_fails_without() -> None:
    assert fewest([1, 2, 3], lambda left: left) == []
