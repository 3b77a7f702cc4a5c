"""Weak memory: the engine's code where a load may see an older store than the last one.

Each access has an order, from a table of Linux's orders. The trace keeps what each task can no
longer miss, and a search runs a schedule for each message that a load may see.

From the top down: listing, modes, choosing_dpor, places, sites, table, weak_trace, views, orders.
"""
