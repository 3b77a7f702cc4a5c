"""/proc/PID/maps: its records, its locking strategies, its lines and its ioctl."""
