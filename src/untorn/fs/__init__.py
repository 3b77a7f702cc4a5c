"""Files as a reader sees them: the MapsFile seam, seq_file, and /proc/PID above them."""
