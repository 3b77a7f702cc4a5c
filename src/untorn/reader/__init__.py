"""Snapshots of the maps of real processes: read in fills, parsed to columns, checked, compared.

From the top down: memories, stale, watch, looks, live_maps, details, take, memory, page_walk,
files, holes, snapshot, map_columns, diff, lookup, fills, text, access.
"""
