"""One reader of a host: however many ask, it looks at each process once, within a budget.

From the top down: host, look, opened, shared, workers, watched.
"""
