"""Processes of our own: start them, talk to them, place them, disturb them, end them.

From the top down: disturbance, interrupts, lock_trace, process_under_test, children, placement,
child, messages, long_run, endings, told.
"""
