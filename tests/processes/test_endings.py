"""Ctrl-C and SIGTERM: noted at once, acted upon where that does no harm."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from untorn.processes.endings import SIGNALS, ending_taken, endings_held, wait_readable


@pytest.fixture(params=SIGNALS)
def number(request: pytest.FixtureRequest) -> signal.Signals:
    number: signal.Signals = request.param
    return number


@pytest.fixture
def blocked_here(number: signal.Signals) -> Iterator[signal.Signals]:
    """The signal is taken by other threads only, as those that numpy starts may do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    yield number
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def taken_by_another_thread(number: signal.Signals, delay: float = 0.0) -> threading.Thread:
    def take() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        time.sleep(delay)
        signal.pthread_kill(threading.get_ident(), number)

    thread = threading.Thread(target=take)
    thread.start()
    return thread


def hold_and_be_asked_to_end(number: signal.Signals, done: list[str]) -> None:
    with endings_held():
        taken_by_another_thread(number).join()
        done.append("all of it")


def hold_in_another_one(number: signal.Signals, done: list[str]) -> None:
    with endings_held():
        hold_and_be_asked_to_end(number, [])
        done.append("all of it")


@pytest.mark.parametrize("work", [hold_and_be_asked_to_end, hold_in_another_one])
def test_what_is_held_is_done_wholly_before_it_ends(
    work: Callable[[signal.Signals, list[str]], None], blocked_here: signal.Signals
) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        work(blocked_here, done)
    assert done == ["all of it"]


def test_an_ending_that_was_taken_is_not_raised(number: signal.Signals) -> None:
    with endings_held():
        assert not ending_taken()
        os.kill(os.getpid(), number)
        assert ending_taken()
        assert not ending_taken()


def test_a_wait_ends_when_another_thread_takes_the_signal(blocked_here: signal.Signals) -> None:
    never, writing = os.pipe()
    with endings_held():
        thread = taken_by_another_thread(blocked_here, 0.05)
        with pytest.raises(KeyboardInterrupt):
            wait_readable(never, 60)
        thread.join()
    os.close(never)
    os.close(writing)


def test_a_wait_tells_what_can_be_read() -> None:
    reading, writing = os.pipe()
    with endings_held():
        assert not wait_readable(reading, 0)
        os.write(writing, b"x")
        assert wait_readable(reading, 60)
    assert wait_readable(reading, 60)
    os.close(reading)
    os.close(writing)


def test_handlers_and_an_ignored_signal_are_as_they_were_afterwards(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with endings_held():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_IGN
            assert not ending_taken()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    with endings_held():
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_another_signal_does_not_cut_a_wait_short() -> None:
    reading, writing = os.pipe()
    signals = signal.signal(signal.SIGUSR1, lambda *_: None)
    writer = threading.Timer(0.1, os.write, (writing, b"!"))
    try:
        with endings_held():
            signal.raise_signal(signal.SIGUSR1)
            writer.start()
            assert wait_readable(reading, 60)
    finally:
        writer.join()
        signal.signal(signal.SIGUSR1, signals)
        os.close(reading)
        os.close(writing)
