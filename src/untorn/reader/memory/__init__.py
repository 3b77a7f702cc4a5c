"""The memory of a process: counted from pagemap, or read from smaps and smaps_rollup.

From the top down: measure, by_smaps, by_pagemap, part, rollup, memory, count, slices, figures,
facts, figure, sample, tally, page_frames, quantity, smaps_text, smaps_from_text, smaps_fields.
"""
