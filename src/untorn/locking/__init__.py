"""Locks of the engine: mutex, atomic counter, task, reader-writer semaphore, lock-order checker.

The packages above take their primitives from sync, never from threading or time.

From the top down: rwsem, rcu, lockdep, rcuwait, sync, replaced.
"""
