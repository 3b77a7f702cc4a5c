"""How long calls of a process take while others read its map: targets, samples, report, plots.

From the top down: calibrate, page, report, plots, run, sim, sim_sweep, sim_run, sim_setup, engine,
engine_run, live, live_locks, live_mount, live_scanner, live_mapper, command, here, target,
environment, lock_count, sample, histogram, touches, resident, mapper, scan.
"""
