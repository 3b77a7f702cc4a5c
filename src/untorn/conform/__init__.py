"""The engine against the running kernel: the same operations, the same results, the same maps.

From the top down: report, run, generate, script_text, pair, engine_side, kernel_side, files,
running_kernel, operation, traced.
"""
