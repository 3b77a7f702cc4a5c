"""Access to a real process: through which thread, for how long, how gently.

From the top down: crew, reach, pagemap, gentle, capabilities, kernel_locks, live_maps_file, task,
idleness, priority, budget, pace, limit.
"""
