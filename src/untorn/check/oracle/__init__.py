"""Oracle: what must hold of every schedule, and in which words it is said that it does not.

From the top down: failure, oracle, ends.
"""
