"""A function of each of many arguments, over a pool."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from untorn.spread.arrivals import Arrivals
from untorn.spread.pool import Pool

A = TypeVar("A")
T = TypeVar("T")


def each(
    pool: Pool, function: Callable[[A], T], arguments: Sequence[A], name: Callable[[A], str] = str
) -> Iterator[tuple[int, T]]:
    """Yield the number of an argument and what the function returned of it, as they come.

    When it ends, be it early, the pool is closed.

    Args:
        pool: Who makes the calls.
        function: A function of a module, so that it can be sent.
        arguments: What can be pickled.
        name: Returns what an argument is called when somebody must be told.

    Raises:
        KeyboardInterrupt: Inside endings_held(), Ctrl-C or SIGTERM came.
        OutOfReachError: Who made a call died; or what a call raised.
    """
    try:
        with Arrivals[T]() as arrivals:
            of = {
                arrivals.expect(pool.submit(function, argument)): number
                for number, argument in enumerate(arguments)
            }
            while of:
                future = arrivals.next()
                number = of.pop(future)
                yield number, pool.result(future, name(arguments[number]))
    finally:
        pool.close()
