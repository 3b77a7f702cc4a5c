"""Serve a whole host: many clients ask, one reader looks. For emulators: mounted_engine(), Guest.

The public names are in __init__.pyi; each is imported when it is first used.

From the top down: export, mount, mounted, engine, procfs, host, text, caller, fuse.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
