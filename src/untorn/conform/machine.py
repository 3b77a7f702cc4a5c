"""Whether the running kernel can be the oracle."""

import os
import sys
from pathlib import Path

from untorn.conform.differences import MODELLED
from untorn.conform.traced.machine import sysctl
from untorn.errors import OutOfReachError
from untorn.reader.access.kernel_locks import parse_release

_NEVER = 2
"""OVERCOMMIT_NEVER."""
FEATURES = {
    "transparent huge pages": Path("/sys/kernel/mm/transparent_hugepage"),
    "KSM": Path("/sys/kernel/mm/ksm"),
}
"""What the engine models, and what shows that a kernel has it."""


def check_machine() -> None:
    """Refuse a machine whose kernel the engine does not model.

    Raises:
        OutOfReachError: with the reason.
    """
    system = os.uname()
    if sys.platform != "linux" or system.machine != "x86_64":
        raise OutOfReachError(f"the engine models x86-64 Linux, this is {system.machine}")
    if parse_release(system.release) < MODELLED:
        since = ".".join(map(str, MODELLED))
        raise OutOfReachError(
            f"the engine models Linux {since} and later, this is {system.release}"
        )
    if sysctl("overcommit_memory") == _NEVER:
        raise OutOfReachError("the engine does not model vm.overcommit_memory=2")
    if sysctl("legacy_va_layout"):
        raise OutOfReachError("the engine starts as a process without vm.legacy_va_layout=1")
    if "la57" in features_of_cpu():
        raise OutOfReachError("the engine models page tables of 4 levels, this kernel uses 5")
    for feature, evidence in FEATURES.items():
        if not evidence.exists():
            raise OutOfReachError(f"the engine models a kernel with {feature}, this one has none")


def features_of_cpu() -> set[str]:
    """Return what the kernel uses of the CPU. Source: proc_cpuinfo(5), its flags."""
    return set(Path("/proc/cpuinfo").read_text().split())
