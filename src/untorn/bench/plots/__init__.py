"""The pictures of a benchmark.

From the top down: draw, shares, runs, across, panels, lines, labels, style, kind.
"""
