"""Processes of our own: started, talked with, placed, disturbed, and ended.

From the top down: disturbance, interrupts, lock_trace, process_under_test, children, placement,
child, messages, long_run, endings, told.
"""
