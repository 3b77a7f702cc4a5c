"""Releases of Linux and their differences, told here once for the engine, the reader and the docs.

From the top down: table, changes, release.
"""
