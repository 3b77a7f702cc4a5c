"""The judge on random histories: correct readings pass; a slow, obvious judge agrees."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.helpers.entries import record, vmas
from tests.helpers.slow_judge import judge_slowly
from untorn.judge.contract import Rule, Violation, judge
from untorn.judge.history import History, State
from untorn.judge.reading import Fill, Reading
from untorn.maps.entry import MapsEntry

SIZE = 7
STATES = st.lists(st.text("ab.", min_size=SIZE, max_size=SIZE).map(vmas), min_size=1, max_size=5)


@st.composite
def honest_fills(draw: st.DrawFn, states: list[State]) -> list[Fill]:
    """Walk as a correct reader does: each step looks at one state, never at an older one."""
    fills: list[Fill] = []
    lines: list[MapsEntry] = []
    now = at = begun = 0
    while True:
        now = draw(st.integers(now, min(now + 2, len(states) - 1)))
        line = next((each for each in states[now] if each.end > at), None)
        if line is None:
            return [*fills, Fill(lines, begun, now), Fill((), now, now)]
        lines.append(line)
        at = line.end
        if draw(st.booleans()):
            fills.append(Fill(lines, begun, now))
            now = draw(st.integers(now, min(now + 1, len(states) - 1)))
            begun, lines = now, []


@st.composite
def honest(draw: st.DrawFn) -> tuple[list[State], Reading]:
    states = draw(STATES)
    return states, Reading.of_text(draw(honest_fills(states)))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[list[State], Reading]:
    """A correct reading with a line dropped, changed, moved or shown again."""
    states, (fills, ended_from) = draw(honest())
    texts = [list(fill.lines) for fill in fills]
    for _ in range(draw(st.integers(1, 2))):
        lines = draw(st.sampled_from(texts))
        at = draw(st.integers(0, len(lines)))
        start = draw(st.integers(0, SIZE - 1))
        line = record(
            start, draw(st.integers(start + 1, SIZE)), name=draw(st.sampled_from([b"a", b"b"]))
        )
        lines[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from([[], [line]]))
    mutated_fills = [fill._replace(lines=lines) for fill, lines in zip(fills, texts, strict=True)]
    return states, Reading(mutated_fills, ended_from)


@given(honest())
@settings(derandomize=True, max_examples=300)
def test_an_honest_reading_breaks_no_rule(case: tuple[list[State], Reading]) -> None:
    states, reading = case
    verdict = judge(History(states), reading, (0, SIZE))
    assert verdict.violations == ()
    event("overlaps" if verdict.overlaps else "no overlap")


@given(mutated())
@settings(derandomize=True, max_examples=600)
def test_a_reading_is_judged_as_the_contract_says_word_by_word(
    case: tuple[list[State], Reading],
) -> None:
    states, reading = case
    verdict = judge(History(states), reading, (0, SIZE))
    found = {(each.rule, number_of(each, reading)) for each in verdict.violations}
    assert found == judge_slowly(states, reading, SIZE)
    event(", ".join(sorted(rule.name for rule, _ in found)) or "nothing broken")


def number_of(violation: Violation, reading: Reading) -> int | None:
    if violation.line is None:
        return None
    return sum(len(fill.lines) for fill in reading.fills[: violation.fill]) + violation.index


@given(st.text("ab.", min_size=SIZE, max_size=SIZE).map(vmas).filter(bool), st.data())
@settings(derandomize=True)
def test_a_line_left_out_while_nobody_writes_is_a_false_gap(
    state: State, data: st.DataObject
) -> None:
    left_out = data.draw(st.sampled_from(state))
    lines = [line for line in state if line != left_out]
    verdict = judge(History([state]), Reading.of_text([Fill(lines, 0, 0)]), (0, SIZE))
    assert [(each.rule, each.around) for each in verdict.violations] == [(Rule.GAP, left_out[:2])]
