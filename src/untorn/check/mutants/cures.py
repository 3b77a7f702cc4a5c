"""Linux's walk with changes that would cure its false gaps: the checker must find nothing in these.

All use Linux's iterator, and none moves it after the lock. docs/false-gap.md describes them.
"""

from untorn.check.mutants.lookup import MAPLE_ITERATOR
from untorn.check.mutants.mutant import Mutant
from untorn.check.scenarios import cases
from untorn.mm.vma_lookup import lock_next_vma

_SCENARIOS = (
    "AB/mprotect-1",
    "ABC/mprotect-1",
    *(f"maps/{name}" for name in cases.CASES if name != "merge-both"),
)
_NOT_MOVED = ("if vmi.index != vma.vm_end:", "if False:")
_SAMPLE = "        seq = mmap_lock_speculate_try_begin(mm)\n"
_END = "        if vma is None:\n            return None\n"
_END_LOOKED_FOR_AGAIN = """\
            vmi.set(from_addr)
            if vmi.next() is None:
                return None
            rcu_read_unlock()
            return _fallback(mm, vmi, from_addr, counts)
"""

MUTANTS = [
    Mutant(
        "cure-holes-proven",
        "Linux, but every hole and the end are looked up again, whatever the sequence says",
        lock_next_vma,
        (
            _NOT_MOVED,
            (_END, f"        if vma is None:\n{_END_LOOKED_FOR_AGAIN}"),
            ("from_addr, vma, seq, counts)", "from_addr, vma, None, counts)"),
        ),
        _SCENARIOS,
        "a cure: wherever the iterator was, a hole that is shown was found from its lower end",
        MAPLE_ITERATOR,
    ),
    Mutant(
        "cure-seated-on-every-call",
        "Linux, but the iterator is set to the position of the walk on every call",
        lock_next_vma,
        (_NOT_MOVED, (_SAMPLE, f"{_SAMPLE}        vmi.set(from_addr)\n")),
        _SCENARIOS,
        "a cure: nothing that the iterator remembers outlives a call",
        MAPLE_ITERATOR,
    ),
    Mutant(
        "cure-sequence-kept",
        "Linux, but the sequence of the lookup is kept with the iterator (here in counts.reseats)",
        lock_next_vma,
        (
            _NOT_MOVED,
            (
                _SAMPLE,
                f"{_SAMPLE}        if seq is None or seq != counts.reseats:\n"
                "            vmi.set(from_addr)\n        counts.reseats = seq\n",
            ),
            (
                _END,
                "        if vma is None:\n"
                "            if seq is not None and not mmap_lock_speculate_retry(mm, seq):\n"
                f"                return None\n{_END_LOOKED_FOR_AGAIN}",
            ),
        ),
        _SCENARIOS,
        "a cure: what the iterator remembers is used only if there was no write since",
        MAPLE_ITERATOR,
    ),
]
