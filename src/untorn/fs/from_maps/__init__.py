"""An address space of the engine that starts from the maps of a real process.

From the top down: address_space, files, layout, lines.
"""
