"""Snapshots of the maps of real processes: read in fills, parsed to columns, verified, compared."""
