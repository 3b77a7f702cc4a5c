"""Apply a function to each of many arguments, over a pool."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from untorn.spread.arrivals import Arrivals
from untorn.spread.pool import Pool

A = TypeVar("A")
T = TypeVar("T")


def each(
    pool: Pool, function: Callable[[A], T], arguments: Sequence[A], name: Callable[[A], str] = str
) -> Iterator[tuple[int, T]]:
    """Yield the number of each argument and the function's result, as they come.

    The pool is closed when the iteration ends, even if it ends early.

    Args:
        pool: The pool that makes the calls.
        function: A module-level function, so that it can be pickled.
        arguments: Values that can be pickled.
        name: Returns the name of an argument, for messages.

    Raises:
        KeyboardInterrupt: Inside endings_held(), Ctrl-C or SIGTERM came.
        OutOfReachError: The process that made a call died; or the call raised it.
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
