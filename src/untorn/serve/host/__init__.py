"""One reader of a host: for any number of clients it looks at a process once, within a budget.

From the top down: host, look, opened, shared, workers, watched.
"""
