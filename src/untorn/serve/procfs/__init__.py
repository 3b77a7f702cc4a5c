"""The /proc that is served: what agents read to count memory is ours, all else the kernel's own.

From the top down: root, process, maps_file, procmap_ioctl, passed, links, real, descriptor.
"""
