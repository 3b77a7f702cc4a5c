"""The tree of the engine's processes: a /proc for the guests of an emulator.

From the top down: load, tree, files, opened, rights, guest.
"""
