"""Random scripts: which operation comes next, on which range, with which arguments.

From the top down: script, mmap_arguments, refusals, range_arguments, extents.
"""
