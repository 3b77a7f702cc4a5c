"""The served /proc: the files that agents read to count memory are ours, all else is the kernel's.

From the top down: root, process, maps_file, procmap_ioctl, passed, links, real, descriptor.
"""
