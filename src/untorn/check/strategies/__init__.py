"""Strategies: which task makes the next step, and which schedule comes after this one.

From the top down: source_dpor, branch, depth_first, alike, sampling, replay, script.
"""
