"""Files as a reader sees them: seq_file and /proc/PID. Also the address space that exec sets up.

From the top down: exec, binfmt_elf, from_maps, proc, seq_file, user_memory.
"""
