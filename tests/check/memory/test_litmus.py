"""Well-known programs for memory models: where ours agrees with Linux's, and where not.

`linux` is stronger than Linux's model where that allows what no machine does, and both modes are
stronger where a load would have to see a store that is made only later (load buffering).
"""

from __future__ import annotations

import pytest

from tests.check.memory.outcomes import parsed
from tests.helpers.weak_programs import WeakProgram
from untorn.check.memory.choosing_dpor import ChoosingDpor

BOTH, NEITHER, STRICT = (True, True), (False, False), (False, True)
"""Whether linux and linux-strict show an outcome."""
# R load, W store, X exchange; a acquire, r release, d rcu_dereference(), f of what that found.
LITMUS = {
    # Message passing: the flag y is seen, and not the data x.
    "MP": ("Wx1 Wy1 | Ry Rx", "/10", BOTH),
    "MP+wmb": ("Wx1 wmb Wy1 | Ry Rx", "/10", BOTH),
    "MP+rmb": ("Wx1 Wy1 | Ry rmb Rx", "/10", BOTH),
    "MP+wmb+rmb": ("Wx1 wmb Wy1 | Ry rmb Rx", "/10", NEITHER),
    "MP+release+acquire": ("Wx1 Wy1r | Rya Rx", "/10", NEITHER),
    "MP+release+acquire-of-another": ("Wx1 Wy1r | Ry Rxa", "/10", BOTH),
    "MP+release-sequence": ("Wx1 Wy1r | Xy2 | Rya Rx", "/1/20", NEITHER),
    "MP+overwritten": ("Wx1 Wy1r Wy2 | Rya Rx", "/20", BOTH),
    # Two loads of one flag, old and new: the first came before the second.
    "MP+two-looks": ("Wx1 wmb Wy1 | Wy2 | Ry Rya Rx", "//120", NEITHER),
    # RCU: what a pointer is published with is seen by who follows it, and by nobody else.
    "RCU-publish": ("Wx1 Wy1r | Ryd Rxf", "/10", NEITHER),
    "RCU-publish-relaxed": ("Wx1 Wy1 | Ryd Rxf", "/10", BOTH),
    "RCU-without-following": ("Wx1 Wy1r | Ryd Rx", "/10", BOTH),
    # Store buffering: neither sees the other.
    "SB": ("Wx1 Ry | Wy1 Rx", "0/0", BOTH),
    "SB+release+acquire": ("Wx1r Rya | Wy1r Rxa", "0/0", BOTH),
    "SB+one-mb": ("Wx1 mb Ry | Wy1 Rx", "0/0", BOTH),
    "SB+mbs": ("Wx1 mb Ry | Wy1 mb Rx", "0/0", NEITHER),
    # Load buffering: Linux allows it without a dependency; we never show it.
    "LB": ("Rx Wy1 | Ry Wx1", "1/1", NEITHER),
    "LB+acquire": ("Rxa Wy1 | Rya Wx1", "1/1", NEITHER),
    # Coherence: one place never goes back.
    "CoRR": ("Wx1 | Rx Rx", "/10", NEITHER),
    "CoWR": ("Wx1 Rx | Wx2", "0/", NEITHER),
    "CoRR-of-exchanges": ("Xx1 | Xx2 | Rx Rx", "0/1/21", NEITHER),
    # Independent reads of independent writes: no machine shows it with acquires, Linux allows it.
    "IRIW": ("Wx1 | Wy1 | Rx Ry | Ry Rx", "//10/10", BOTH),
    "IRIW+acquires": ("Wx1 | Wy1 | Rxa Rya | Rya Rxa", "//10/10", BOTH),
    "IRIW+mbs": ("Wx1 | Wy1 | Rx mb Ry | Ry mb Rx", "//10/10", NEITHER),
    # Cumulativity: what one learns from another and hands on. No machine breaks it.
    "WRC": ("Wx1 | Rx Wy1 | Rya Rx", "/1/10", STRICT),
    "WRC+release": ("Wx1 | Rx Wy1r | Rya Rx", "/1/10", NEITHER),
    "ISA2": ("Wx1 Wy1r | Rya Wz1r | Rza Rx", "/1/10", NEITHER),
    "ISA2+wmb": ("Wx1 Wy1r | Rya wmb Wz1 | Rza Rx", "/1/10", STRICT),
    "ISA2+mb": ("Wx1 Wy1 | Ry mb Wz1 | Rza Rx", "/1/10", BOTH),
    "ISA2+release+mb": ("Wx1 Wy1r | Ry mb Wz1 | Rza Rx", "/1/10", NEITHER),
    # A section, the one after it on another CPU, and a reader: docs/weak-memory.md.
    "torn-VMA": ("Wv3 Wc1r Wf1 wmb Ws4 Wl1r | Rla Ws5 | Rca Rv Rsa Rf", "/1/1350", STRICT),
    "torn-VMA+release": (
        "Wv3 Wc1r Wf1 wmb Ws4 Wl1r | Rla Ws5r | Rca Rv Rsa Rf",
        "/1/1350",
        NEITHER,
    ),
    "everywhere": ("Wx1 mb Wz1 | Rza Wy1 | Rya Rx", "/1/10", NEITHER),
}


@pytest.mark.parametrize("name", LITMUS)
@pytest.mark.parametrize("strict", [False, True])
def test_what_is_shown_is_known(name: str, strict: bool) -> None:
    program, outcome, shown = LITMUS[name]
    found = WeakProgram(parsed(program), strict).explore(ChoosingDpor())
    assert found is not None
    values = tuple(tuple(map(int, thread)) for thread in outcome.split("/"))
    assert (values in found[0]) is shown[strict]
