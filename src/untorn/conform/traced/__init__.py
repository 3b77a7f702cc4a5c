"""A traced child whose address space changes only by the calls that it is told to make.

From the top down: bounds, minimal_child, start, member, ptrace, minimal_elf, abi,
open_file.
"""
