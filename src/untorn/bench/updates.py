"""What a mapper sends of the updates that it made."""

from array import array
from typing import Any

from untorn.processes.children import Child

GRACE = 10.0
"""Seconds beyond its time after which a mapper is taken to hang."""


def await_updates(mapper: Child, duration: float) -> tuple[dict[str, Any], "array[int]"]:
    """Return what the mapper counted and its latencies; nothing of either if it hangs."""
    try:
        measured = mapper.receive(duration + GRACE)
        data = mapper.receive_bytes(8 * measured.pop("updates"), GRACE)
    except TimeoutError:
        return {}, array("q")
    return measured, array("q", data)
