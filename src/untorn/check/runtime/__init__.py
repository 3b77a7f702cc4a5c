"""What runs the engine's code step by step: its primitives, watched fields, and one execution.

Installed below locking/sync.py by watching() for as long as explorations last. A shared access
announces itself at running.point(); the execution asks its strategy whose step is made next; the
trace keeps which step happened before which.

From the top down: watching, world, execution, lock_order, primitives, fields, shared, counter,
running, trace, location, message.
"""
