"""A real program as the source of calls: traced, and each call made in the engine, too.

From the top down: report, run, start, tracer, memory, twin, outcome, engine_calls, open_files,
kernel_memory, takes, faults, processes, seccomp, calls.
"""
