"""Oracle: what must hold in every schedule, and the messages if it does not.

From the top down: failure, oracle, ends.
"""
