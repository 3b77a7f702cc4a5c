"""Guests on demand: booted for the first call, and again if QEMU let one die."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from untorn.vm.guest import Guest, GuestDiedError, GuestJob, drop
from untorn.vm.init import Relay
from untorn.vm.qemu import Machine, kvm_refusal, qemu_version

KVM_PATIENCE = 10.0
"""Seconds until a guest with KVM must be up; there are machines where it never is."""
PATIENCE = 300.0
"""Seconds until an emulated guest must be up; on an idle machine it takes 6."""
SET_UP = 300.0
"""Seconds of host time until a request to a guest must have begun."""
SLOWER = 30
"""A second of a guest's virtual time may take up to this many of ours."""


@dataclass(slots=True)
class _Verdict:
    """Whether KVM works on this machine; the first guest that did not boot decides it."""

    refusal: str = ""


_kvm = _Verdict()


@dataclass(slots=True)
class Session:
    """One guest at a time, of one machine; close() ends it.

    Attributes:
        machine: The machine to boot.
        emulated: Why the guest does not run by KVM; empty if it does. Known once it is up.
        deaths: What killed the guests that died of QEMU's own fault.
    """

    machine: Machine
    emulated: str = ""
    deaths: list[str] = field(default_factory=list)
    _guest: Guest | None = None

    def call(
        self, function: GuestJob, timeout: float, relay: Relay = drop, **arguments: Any
    ) -> Any:
        """Let the guest call a function; repeat it in a new guest if QEMU let the first one die.

        Raises:
            As Guest and Guest.call().
        """
        try:
            return self._up().call(function, timeout, relay, **arguments)
        except GuestDiedError as error:
            self.close()
            if not error.int3:
                raise
            self.deaths.append(str(error))
        return self._up().call(function, timeout, relay, **arguments)

    def hypervisor(self) -> str:
        """Return what ran the guest, why it was emulated if so, and what earlier guests died of."""
        how = f"emulated ({self.emulated})" if self.emulated else "by KVM"
        again = (f"booted again: {death}" for death in self.deaths)
        return ", ".join((qemu_version(), how, *again))

    def close(self) -> None:
        """End the guest, if there is one."""
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.close()

    def _up(self) -> Guest:
        if self._guest is None:
            self._guest, self.emulated = boot(self.machine)
        return self._guest


def boot(machine: Machine, requests: Sequence[bytes] = ()) -> tuple[Guest, str]:
    """Boot a machine by KVM, or emulated where that does not work; return why it is emulated.

    Raises:
        As Guest.
    """
    refusal = kvm_refusal(machine) or _kvm.refusal
    if not refusal:
        try:
            return Guest(machine, kvm=True, patience=KVM_PATIENCE, requests=requests), ""
        except GuestDiedError as error:
            refusal = f"KVM does not work: {error}"
    guest = Guest(machine, kvm=False, patience=PATIENCE, requests=requests)
    if not kvm_refusal(machine):  # it booted, but not by KVM: that is no fault of the kernel
        _kvm.refusal = refusal
    return guest, refusal
