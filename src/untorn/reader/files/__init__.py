"""The mapped files: found, compared and read without touching the process.

From the top down: location, same_file, mapped_file, elf, found_file, mounts.
"""
