"""A real program as the source of calls: traced, and each call made in the engine, too.

From the top down: report, run, start, tracer, memory, twin, world, outcome, engine_calls,
open_files, kernel_memory, engine_maps, takes, faults, processes, seccomp, calls.
"""
