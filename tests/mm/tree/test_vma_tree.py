"""Compare the tree with a plain list of pages, and its searches with linear ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from untorn.mm.tree import store as vma_tree_store
from untorn.mm.tree import vma_tree
from untorn.mm.tree.gap import highest_gap, lowest_gap
from untorn.mm.tree.store import store_range
from untorn.mm.tree.vma_tree import VmaIterator, VmaTree

PAGES = 400
lengths = st.one_of(st.integers(1, 40), st.integers(1, PAGES))
spans = st.tuples(st.integers(0, PAGES - 1), lengths).map(lambda t: (t[0], min(t[0] + t[1], PAGES)))
Steps = list[tuple[tuple[int, int], bool]]
changes = st.lists(st.tuples(spans, st.booleans()), max_size=150)
filled = [((page, page + 1), True) for page in range(0, PAGES, 4)]
histories = st.one_of(changes, changes.map(lambda steps: filled + steps))
fanouts = st.sampled_from((4, 6, vma_tree.FANOUT))  # small nodes make tall trees


def build(steps: Steps, fanout: int) -> tuple[VmaTree[object], list[object | None]]:
    tree: VmaTree[object] = VmaTree()
    pages: list[object | None] = [None] * PAGES
    with pytest.MonkeyPatch.context() as patch:
        for module in (vma_tree, vma_tree_store):
            patch.setattr(module, "FANOUT", fanout)
            patch.setattr(module, "MIN_ITEMS", fanout // 2)
        for (start, end), maps in steps:
            entry = object() if maps else None
            store_range(tree, start, end, entry)
            pages[start:end] = [entry] * (end - start)
            tree.check_invariants()
    return tree, pages


def dense_tree(count: int) -> VmaTree[str]:
    tree: VmaTree[str] = VmaTree()
    for page in range(count):
        store_range(tree, 2 * page, 2 * page + 1, f"vma {page}")
    return tree


@settings(max_examples=150)
@given(histories, fanouts)
def test_tree_maps_every_page_as_a_list_of_pages_does(steps: Steps, fanout: int) -> None:
    tree, pages = build(steps, fanout)
    shown: list[object | None] = [None] * PAGES
    for start, end, entry in tree:
        shown[start:end] = [entry] * (end - start)
    assert shown == pages


@settings(max_examples=100)
@given(histories, fanouts, st.integers(0, PAGES))
def test_find_returns_the_range_that_ends_above_the_address(
    steps: Steps, fanout: int, addr: int
) -> None:
    tree, _ = build(steps, fanout)
    slots = list(tree)
    expected = next((s for s in slots if s[1] > addr), None)
    assert tree.find_slot(addr) == expected
    assert tree.find(addr) == (expected[2] if expected else None)
    before = next((s for s in reversed(slots) if s[0] < addr), None)
    assert tree.find_before(addr) == (before[2] if before else None)


@settings(max_examples=200)
@given(histories, fanouts, st.integers(1, 60), spans)
def test_gap_searches_find_what_a_linear_search_finds(
    steps: Steps, fanout: int, length: int, window: tuple[int, int]
) -> None:
    tree, _ = build(steps, fanout)
    low, high = window
    slots = list(tree)
    bounds = [0, *(edge for s in slots for edge in s[:2]), PAGES]
    holes = [
        (max(a, low), min(b, high))
        for a, b in zip(bounds[::2], bounds[1::2], strict=True)
        if min(b, high) - max(a, low) >= length
    ]
    assert highest_gap(tree, length, low, high) == (holes[-1][1] if holes else None)
    assert lowest_gap(tree, length, low, high) == (holes[0][0] if holes else None)


def test_a_version_once_loaded_never_changes() -> None:
    tree = dense_tree(1000)
    root = tree.root
    before = list(root.slots())
    for page in range(0, 1000, 3):
        store_range(tree, 2 * page, 2 * page + 2, None)
    assert list(root.slots()) == before
    assert len(tree) == 666


def test_one_large_store_replaces_a_thousand_ranges_at_once() -> None:
    tree = dense_tree(1000)
    store_range(tree, 1, 1999, "all")
    tree.check_invariants()
    assert [s[2] for s in tree] == ["vma 0", "all"]


def test_a_store_that_leaves_a_few_ranges_of_a_subtree_gives_them_to_its_neighbour() -> None:
    # The second inner node keeps one leaf with five ranges; the third keeps all but five leaves.
    tree = dense_tree(12_000)
    assert tree.root.height == 2
    _, second, third, *_ = tree.root.items
    store_range(tree, second.starts[0] + 10, third.starts[5], None)
    tree.check_invariants()


def test_iterator_goes_on_from_the_end_it_saw_even_when_that_range_shrank() -> None:
    # [0,3) X, [3,4) N. The iterator is at 3 when X becomes [0,1) B [1,3):
    # B is below the iterator and is not visited.
    tree: VmaTree[str] = VmaTree()
    store_range(tree, 0, 3, "X")
    store_range(tree, 3, 4, "N")
    iterator = VmaIterator(tree)
    assert iterator.next() == "X"
    store_range(tree, 1, 3, "B")
    assert iterator.next() == "N"
    iterator.set(1)
    assert [iterator.next(), iterator.next(), iterator.next()] == ["B", "N", None]


def test_iterator_visits_every_range_of_a_tall_tree() -> None:
    tree = dense_tree(5000)
    iterator = VmaIterator(tree)
    assert [iterator.next() for _ in range(5000)] == [s[2] for s in tree]
    assert iterator.next() is None
    store_range(tree, 20_000, 20_001, "new")
    assert iterator.next() == "new"
