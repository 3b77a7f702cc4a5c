"""Compare the engine with a kernel: the same operations, the same results, the same maps.

From the top down: program, suites, report, live, run, target, case_text, case, shown, outcome,
generate, script_text, expression, pair, engine_side, served, live_oracle, kernel_side, huge_pages,
overcommit, running_kernel, substitutes, files, oracle, answer, unsealed, segments, operation,
traced.
"""
