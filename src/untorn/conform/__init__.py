"""The engine against the running kernel: the same operations, the same results, the same maps.

From the top down: report, live, target, run, outcome, generate, script_text, pair, engine_side,
kernel_side, files, running_kernel, unsealed, operation, traced.
"""
