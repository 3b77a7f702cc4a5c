"""What a mapper sends of the updates that it made."""

from typing import Any

import numpy as np

from untorn.live.children import Child

GRACE = 10.0
"""Seconds beyond its time after which a mapper is taken to hang."""


def await_updates(mapper: Child, duration: float) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Return what the mapper counted and its latencies; nothing of either if it hangs."""
    try:
        measured = mapper.receive(duration + GRACE)
        data = mapper.receive_bytes(8 * measured.pop("updates"), GRACE)
    except TimeoutError:
        return {}, np.empty(0, np.int64)
    return measured, np.frombuffer(data, np.int64)
