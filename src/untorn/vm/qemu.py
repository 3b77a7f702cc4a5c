"""How QEMU is called: the machine, how its CPUs run, and the kernel's command line.

The machine is a plain PC with two serial ports: every x86 kernel has built-in drivers for these,
which is true of no disk or network device.
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
    """How the CPUs of an emulated guest run; under KVM, FAST and SAFE are the same."""

    FAST = "fast"
    """In parallel, for latencies. A kernel that patches its own code meanwhile, as tracing makes it
    do, may die of a breakpoint trap (Oops: int3), which is QEMU's fault."""
    SAFE = "safe"
    """One after the other, for everything but latencies."""
    REPLAY = "replay"
    """One after the other, counting instructions: everything that happens follows from the seed."""


_EMULATION = {
    Mode.FAST: "-accel tcg,thread=multi",
    Mode.SAFE: "-accel tcg,thread=single",
    # An instruction takes 8 ns. With more, timer interrupts use up the CPU; with less, few switches
    # come in the middle of a call.
    Mode.REPLAY: "-accel tcg -icount shift=3,sleep=off -rtc base=2026-01-01,clock=vm",
}
_TOLD = (
    # Early, because an image that cannot be unpacked reports it before there is a console.
    "console=ttyS0 earlyprintk=ttyS0 quiet",
    # The same preemption model in every guest: kernels differ in their default, and it changes the
    # latencies more than the locks do.
    "preempt=full",
    # Otherwise some kernels find the emulated clocks out of step, and use a slow one.
    "tsc=reliable",
    # Since 6.17 it clears accessed bits without flushing a TLB. What it then finds depends on
    # QEMU's TLBs, whose sizes follow the host's clock: a run would not replay.
    "damon_stat.enabled=0",
    "oops=panic panic=-1",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a guest before it is booted."""

    kernel: Path
    mode: Mode = Mode.FAST
    memory_mb: int = 1024
    """MiB. The file system takes some 60 of them; with less than 256 a kernel cannot unpack it."""
    cpus: int = 2
    seed: int = 0
    """Seed of all randomness, in REPLAY."""
    numpy: bool = False
    """Whether its requests import numpy, which takes 55 MiB more."""
    parts: tuple[str, ...] = ()
    """Parts of this package that it imports and other guests do not: see initramfs.py."""
    commands: tuple[str, ...] = ()
    """Command lines that it runs: it gets the programs that they name."""
    five_levels: bool = False
    """Its page tables have five levels, if its kernel supports that; the CPUs are then emulated."""


def find_qemu() -> str:
    """Return the path of the emulator.

    Raises:
        OutOfReachError: It is not on PATH, or cannot run this Python's instructions.
    """
    if os.uname().machine != "x86_64":
        raise OutOfReachError(f"guests are x86_64 machines, this one is {os.uname().machine}")
    path = shutil.which(BINARY)
    if path is None:
        raise OutOfReachError(f"no {BINARY} on PATH; on Debian: apt install qemu-system-x86")
    return path


def qemu_version() -> str:
    """Return QEMU's own version line, such as `QEMU emulator version 7.2.22`.

    Raises:
        OutOfReachError: There is none, or it does not run.
    """
    asked = subprocess.run([find_qemu(), "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise OutOfReachError(f"{BINARY} does not run: {asked.stderr.strip()}")
    return asked.stdout.partition(" (")[0].partition("\n")[0]


def kvm_refusal(machine: Machine) -> str:
    """Return why a guest should not try KVM; an empty string if it should."""
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
        machine: The machine to boot.
        initramfs: Descriptor of the file system; QEMU inherits it.
        console: Descriptor for what the first serial port prints; QEMU inherits it.
        kvm: Run the CPUs by KVM instead of emulation.

    Raises:
        OutOfReachError: There is no QEMU.
    """
    acceleration = ("-accel", "kvm", "-cpu", "host") if kvm else _emulation(machine)
    return [
        # It ends with us, even if we are killed, and leaves no core file as large as a guest.
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
    # Four levels, as most machines have, unless asked: with five, addresses may have 56 bits.
    cpu = "max" if machine.five_levels else "max,la57=off"
    seed = ("-seed", str(machine.seed)) if machine.mode is Mode.REPLAY else ()
    return (*_EMULATION[machine.mode].split(), "-cpu", cpu, *seed)
