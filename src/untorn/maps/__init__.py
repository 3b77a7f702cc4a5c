"""The vocabulary of everything that reads or shows a map: record, line, query, MapsFile."""
