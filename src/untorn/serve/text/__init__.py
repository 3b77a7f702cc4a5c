"""The text of a process's files, in the kernel's format.

From the top down: show_smaps, show_smaps_rollup, known_fields, show_maps, text.
"""
