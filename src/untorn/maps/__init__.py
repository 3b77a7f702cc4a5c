"""The vocabulary of everything that reads or shows a map: record, line, query, MapsFile.

From the top down: maps_file, pagemap, procmap_query, smaps_lines, entry, scan, cursor, difference,
fields, page.
"""
