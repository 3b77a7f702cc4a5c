"""The engine against the running kernel: the same operations, the same results, the same maps."""
