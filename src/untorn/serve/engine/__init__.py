"""The tree of processes of the engine: a /proc for the guests of an emulator.

From the top down: load, tree, files, opened, rights, guest.
"""
