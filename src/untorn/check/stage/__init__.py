"""Stage: what a scenario sets up, and what the checker records about a run from outside.

From the top down: stage, ghost, page_history, published, readers, pages.
"""
