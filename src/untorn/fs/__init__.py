"""Files as a reader sees them: seq_file, /proc/PID above it, and what exec makes of a program.

From the top down: exec, binfmt_elf, from_maps, proc, seq_file, user_memory.
"""
