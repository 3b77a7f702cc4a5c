"""A booted guest: takes requests as lines of JSON, and ends with QEMU's process.

The guest's side is init.py.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from untorn.errors import OutOfReachError, UntornError
from untorn.processes.endings import endings_held
from untorn.processes.messages import EndedError, Messages
from untorn.vm.console import Console
from untorn.vm.init import Relay
from untorn.vm.initramfs import write_initramfs
from untorn.vm.qemu import BINARY, Machine, command

END_TIMEOUT = 10.0
"""Seconds until a killed QEMU must have ended."""
GuestJob = Callable[..., Any]
"""A function that the guest has too; it takes a Relay, and keyword arguments."""


class GuestDiedError(OutOfReachError):
    """A guest died, or did not boot, for a reason other than what it was asked to do."""

    def __init__(self, message: str, *, int3: bool = False) -> None:
        super().__init__(message)
        self.int3 = int3
        """Whether it was a known fault of QEMU: another try may succeed."""


def drop(message: Any) -> None:
    """Ignore what a function sends before it returns."""


class Guest:
    """A guest that is up and waits for requests.

    Args:
        machine: What to boot.
        kvm: Run the CPUs by KVM instead of emulation.
        patience: Seconds until it must be up.
        requests: All requests that it will get, see request(); if empty, call() sends them.

    Raises:
        GuestDiedError: It did not boot.
        OutOfReachError: A tool is missing here.
        OSError: The file system of the guest cannot be made.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        kvm: bool,
        patience: float,
        requests: Sequence[bytes] = (),
    ) -> None:
        with endings_held(), ExitStack() as stack:
            self._console = Console()
            stack.callback(self._console.close)
            initramfs = os.memfd_create("initramfs")
            stack.callback(os.close, initramfs)
            write_initramfs(
                initramfs,
                requests,
                numpy=machine.numpy,
                parts=machine.parts,
                commands=machine.commands,
            )
            self._process = _start(machine, initramfs, self._console.fd, kvm=kvm)
            stack.callback(self._kill)
            assert self._process.stdout is not None
            self._messages = Messages(self._process.stdout.fileno(), BINARY)
            self.release: str = self._receive(patience)["hello"]
            os.ftruncate(initramfs, 0)  # QEMU has read it, and keeps it open
            self._stack = stack.pop_all()

    def call(
        self, function: GuestJob, timeout: float, relay: Relay = drop, **arguments: Any
    ) -> Any:
        """Let the guest call a function; return its result.

        Args:
            function: What to call; see GuestJob.
            timeout: Seconds of silence after which the guest counts as hung.
            relay: Called with what the function sends before it returns.
            arguments: Keyword arguments, which JSON must be able to carry.

        Raises:
            GuestDiedError: The guest ended, or hangs.
            OutOfReachError: The function raised OSError or OutOfReachError.
            UntornError: The function raised something else; the end of the console is added.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # answer() says why
            self._process.stdin.write(request(function, **arguments))
        return self.answer(timeout, relay)

    def answer(self, timeout: float, relay: Relay = drop) -> Any:
        """Return the answer to the next request: see call()."""
        while "progress" in (message := self._receive(timeout)):
            relay(message["progress"])
        if "failure" in message:
            raise UntornError(f"in the guest: {message['failure']}\n{self._console.tail()}")
        return message["result"]

    def close(self) -> None:
        """End it."""
        with endings_held():
            self._stack.close()

    def _receive(self, timeout: float) -> dict[str, Any]:
        try:
            return self._messages.receive(timeout)
        except EndedError as error:
            died = f"the guest died: {self._console.cause()}"
            raise GuestDiedError(died, int3=self._console.is_int3()) from error
        except TimeoutError as error:
            hangs = f"the guest hangs, silent for {timeout:g} s: {self._console.cause()}"
            raise GuestDiedError(hangs) from error

    def _kill(self) -> None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def request(function: GuestJob, **arguments: Any) -> bytes:
    """Return the line that requests a call: see Guest.call()."""
    name = f"{function.__module__}:{function.__qualname__}"
    return json.dumps({"call": name, "arguments": arguments}).encode() + b"\n"


def _start(machine: Machine, initramfs: int, console: int, *, kvm: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(machine, initramfs, console, kvm=kvm),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=console,
        pass_fds=(initramfs, console),
        bufsize=0,
        process_group=0,  # the terminal's Ctrl-C is not for it
    )
