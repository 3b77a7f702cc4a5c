"""Random scripts: which operation comes next, on which range, with which arguments.

From the top down: script, mmap_arguments, range_arguments, extents.
"""
