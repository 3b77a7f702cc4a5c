"""Serving a whole host: many ask, one reader looks.

From the top down: export, mount, mounted, engine, procfs, host, text, caller, fuse.
"""
