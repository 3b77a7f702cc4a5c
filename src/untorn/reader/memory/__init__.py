"""The memory of a process: what smaps and smaps_rollup say of it.

From the top down: smaps_text, smaps_from_text, smaps_fields.
"""
