"""One reader of a host: whatever many ask for, each process is looked at once, within a budget.

From the top down: host, look, opened, shared, workers, watched.
"""
