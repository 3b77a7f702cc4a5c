"""Telling: the printed report of a run, and the file that keeps it.

From the top down: report, record, switches, story, recorder.
"""
