"""Calls of pure functions, spread over processes: those of this machine's CPUs, or of a cluster.

A call may be made again when its process died, or not at all when nobody wants what comes of it;
so it changes nothing but what it returns.

From the top down: each, pools, cluster, workers, pool, arrivals.
"""
