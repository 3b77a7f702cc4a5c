"""How long mmap and munmap take while others read the map: targets, samples, report, plot."""
