"""Spread calls of pure functions over processes: one per CPU here, or the workers of a cluster.

A call may be repeated if its process died, or never made if nobody wants the result; so it must
change nothing but what it returns.

From the top down: each, pools, cluster, workers, pool, arrivals.
"""
