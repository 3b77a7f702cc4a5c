"""How QEMU is called: which machine, how its CPUs are run, what the kernel is told.

A plain PC with two serial ports: every x86 kernel has drivers for these built in, which is true
of no disk or network device.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from untorn.errors import OutOfReachError

BINARY = "qemu-system-x86_64"
_KVM = Path("/dev/kvm")


class Mode(StrEnum):
    """How the CPUs of an emulated guest are run; under KVM, FAST and SAFE are the same."""

    FAST = "fast"
    """Truly side by side, for latencies. A kernel that patches its own code meanwhile, as tracing
    makes it do, may die of a breakpoint trap (Oops: int3): QEMU's fault."""
    SAFE = "safe"
    """In turn, for everything but latencies."""
    REPLAY = "replay"
    """In turn, by counting instructions: whatever happens follows from the seed."""


_EMULATION = {
    Mode.FAST: "-accel tcg,thread=multi",
    Mode.SAFE: "-accel tcg,thread=single",
    # An instruction takes 8 ns: slower, and timer interrupts eat the CPU; faster, and few switches
    # come in the middle of a call.
    Mode.REPLAY: "-accel tcg -icount shift=3,sleep=off -rtc base=2026-01-01,clock=vm",
}
_TOLD = (
    # Early, because an image that cannot be unpacked says so before there is a console.
    "console=ttyS0 earlyprintk=ttyS0 quiet",
    # One preemption model in every guest: kernels differ in the one they start with, and it
    # changes the latencies more than the locks do.
    "preempt=full",
    # Otherwise some take the emulated clocks to be out of step, and use a slow one.
    "tsc=reliable",
    # From 6.17 on it takes back accessed bits without flushing a TLB. What it then finds is a
    # matter of QEMU's TLBs, whose sizes follow the host's clock: a run would not replay.
    "damon_stat.enabled=0",
    "oops=panic panic=-1",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A guest, as far as it is known before it is booted."""

    kernel: Path
    mode: Mode = Mode.FAST
    memory_mb: int = 1024
    """Mebibytes; the file system takes some 60 of them, and below 256 a kernel cannot unpack it."""
    cpus: int = 2
    seed: int = 0
    """Where randomness starts, in REPLAY."""
    numpy: bool = False
    """What is asked of it imports numpy: 55 MiB more."""
    parts: tuple[str, ...] = ()
    """Parts of this package that it imports, and no other guest: see initramfs.py."""
    commands: tuple[str, ...] = ()
    """Command lines that it runs: it gets the programs that they name."""
    five_levels: bool = False
    """Its page tables have five levels, if its kernel can use them; the CPUs are emulated then."""


def find_qemu() -> str:
    """Return the path of the emulator.

    Raises:
        OutOfReachError: It is not on PATH, or would not run this Python's instructions.
    """
    if os.uname().machine != "x86_64":
        raise OutOfReachError(f"guests are x86_64 machines, this one is {os.uname().machine}")
    path = shutil.which(BINARY)
    if path is None:
        raise OutOfReachError(f"no {BINARY} on PATH; on Debian: apt install qemu-system-x86")
    return path


def qemu_version() -> str:
    """Return what it calls itself, as `QEMU emulator version 7.2.22`.

    Raises:
        OutOfReachError: There is none, or it does not run.
    """
    asked = subprocess.run([find_qemu(), "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise OutOfReachError(f"{BINARY} does not run: {asked.stderr.strip()}")
    return asked.stdout.partition(" (")[0].partition("\n")[0]


def kvm_refusal(machine: Machine) -> str:
    """Say why a guest is not to be tried with KVM; empty if it is."""
    if machine.mode is Mode.REPLAY:
        return "in virtual time, CPUs are emulated"
    if machine.five_levels:
        return "CPUs with five levels of page tables are emulated"
    if not _KVM.exists():
        return f"no {_KVM}"
    return "" if os.access(_KVM, os.R_OK | os.W_OK) else f"no permission to open {_KVM}"


def command(machine: Machine, initramfs: int, console: int, *, kvm: bool) -> list[str]:
    """Return the command that boots a machine; its stdin and stdout are the second serial port.

    Args:
        machine: What is booted.
        initramfs: Descriptor, which QEMU inherits, of the file system.
        console: Descriptor, which QEMU inherits, that takes what the first serial port says.
        kvm: Run the CPUs by KVM, not emulated.

    Raises:
        OutOfReachError: There is no QEMU.
    """
    acceleration = ("-accel", "kvm", "-cpu", "host") if kvm else _emulation(machine)
    return [
        # Ends with us, even if we are killed; leaves no core file of a guest's size.
        *("setpriv", "--pdeathsig", "KILL", "prlimit", "--core=0:0"),
        *(find_qemu(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *(
            "-machine",
            "pc",
            "-smp",
            f"{machine.cpus}",
            "-m",
            f"{machine.memory_mb}M",
            *acceleration,
        ),
        *("-kernel", str(machine.kernel), "-initrd", f"/proc/self/fd/{initramfs}"),
        *("-append", " ".join(_TOLD)),
        *("-chardev", f"file,id=console,path=/proc/self/fd/{console},append=on"),
        *("-chardev", "stdio,id=port,signal=off"),
        *("-serial", "chardev:console", "-serial", "chardev:port"),
    ]


def _emulation(machine: Machine) -> tuple[str, ...]:
    # What most machines have, unless it is asked for: with five, addresses may be of 56 bits.
    cpu = "max" if machine.five_levels else "max,la57=off"
    seed = ("-seed", str(machine.seed)) if machine.mode is Mode.REPLAY else ()
    return (*_EMULATION[machine.mode].split(), "-cpu", cpu, *seed)
