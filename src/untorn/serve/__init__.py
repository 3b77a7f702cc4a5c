"""Serving a whole host: many ask, one reader looks.

From the top down: procfs, text, caller, fuse.
"""
