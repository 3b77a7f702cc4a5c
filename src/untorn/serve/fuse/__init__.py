"""A tree of files of ours as a file system, by FUSE.

From the top down: session, requests, pending, leader, inodes, answers, support, libfuse,
lifeline, watchdog, connection, mounting, mount_calls, node.
"""
