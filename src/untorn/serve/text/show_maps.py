"""Make the text of maps from a snapshot."""

from untorn.maps.entry import maps_line
from untorn.maps.fields import Device
from untorn.reader.map_columns import MapColumns
from untorn.serve.text.text import Text


def show_maps(taken: MapColumns) -> Text:
    """Return the lines of a snapshot, or of a memory, as in /proc/PID/maps.

    Compare fs/proc/task_mmu.c:show_map_vma().
    """
    columns = (taken.start, taken.end, taken.permissions, taken.offset)
    devices = map(Device.of, taken.device.tolist())
    names = map(taken.names.__getitem__, taken.name.tolist())
    numbers = (column.tolist() for column in columns)
    return Text(list(map(maps_line, *numbers, devices, taken.inode.tolist(), names)))
