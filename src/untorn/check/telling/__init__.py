"""Telling: what a person reads of a run, and what a file keeps of it.

From the top down: report, record, switches, story, recorder.
"""
