"""A tree of files of ours as a file system, by FUSE.

From the top down: mount, session, inodes, libfuse, watchdog, node.
"""
