"""Releases of Linux, and what differs between them: said here once, for engine, reader and docs.

From the top down: table, changes, release.
"""
