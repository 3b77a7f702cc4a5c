"""Serving a whole host: many ask, one reader looks.

From the top down: engine, procfs, text, caller, fuse.
"""
