"""The engine against the running kernel: the same operations, the same results, the same maps.

From the top down: program, suites, report, live, target, run, case_text, case, shown, outcome,
generate, script_text, expression, pair, engine_side, kernel_side, huge_pages, substitutes, files,
running_kernel, unsealed, operation, traced.
"""
