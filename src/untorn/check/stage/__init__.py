"""Stage: what a scenario sets up, and what is known of a run from outside.

From the top down: stage, ghost, page_history, published, readers, pages.
"""
