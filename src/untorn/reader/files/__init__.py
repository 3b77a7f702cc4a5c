"""The files that are mapped: found, compared and read without touching the process."""
