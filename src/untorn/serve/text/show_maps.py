"""The text of maps by a snapshot."""

from untorn.reader.map_columns import MapColumns
from untorn.serve.text.text import Text


def show_maps(taken: MapColumns) -> Text:
    """Return the lines of a snapshot, or of a memory, as /proc/PID/maps has them."""
    return Text([entry.line() for entry in taken])
