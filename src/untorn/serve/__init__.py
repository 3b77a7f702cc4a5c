"""Serving a whole host: many ask, one reader looks.

From the top down: export, engine, procfs, text, caller, fuse.
"""
