"""The vocabulary that all code about maps shares: record, line, query, MapsFile.

From the top down: maps_file, pagemap, procmap_query, smaps_lines, entry, scan, cursor, difference,
fields, page.
"""
