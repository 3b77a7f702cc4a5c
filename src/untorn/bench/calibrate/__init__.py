"""Measure what code of the running kernel costs, with processes of our own: the costs of `sim`.

From the top down: table, measured, updates, reads, switches, timing.
"""
