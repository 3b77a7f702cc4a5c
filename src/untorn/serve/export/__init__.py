"""Figures of groups of processes for Prometheus.

From the top down: server, collector, figures, passes, counts, process_looks, groups.
"""
