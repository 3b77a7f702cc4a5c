"""Our trees of files as file systems, by FUSE.

From the top down: session, requests, pending, leader, inodes, answers, support, libfuse,
lifeline, watchdog, connection, mounting, mount_calls, node.
"""
