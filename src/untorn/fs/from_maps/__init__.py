"""Make an engine address space from the maps of a real process.

From the top down: address_space, files, layout, lines.
"""
