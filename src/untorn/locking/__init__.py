"""Locks of the engine: mutex, atomic counter, task, reader-writer semaphore, lock-order checker.

Everything above takes its primitives from sync, never from threading or time.

From the top down: rwsem, rcu, lockdep, rcuwait, sync, replaced.
"""
