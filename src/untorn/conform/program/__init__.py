"""A real program as the source of calls: traced, and each call made in the engine, too.

From the top down: report, shorter, record, run, start, tracer, memory, twin, world, outcome,
history, engine_calls, sysvipc, open_files, engine_mm, kernel_memory, engine_maps, takes, faults,
processes, seccomp, calls.
"""
