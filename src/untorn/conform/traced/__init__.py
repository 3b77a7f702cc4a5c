"""A traced child whose address space changes by nothing but the calls it is told to make.

From the top down: bounds, minimal_child, start, member, ptrace, minimal_elf, abi,
open_file.
"""
