"""Take the calls from a real program: trace it, and make each call in the engine, too.

From the top down: report, shorter, record, run, start, tracer, memory, twin, world, outcome,
history, engine_calls, sysvipc, open_files, engine_mm, kernel_memory, engine_maps, takes, faults,
processes, seccomp, calls.
"""
