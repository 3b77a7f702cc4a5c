"""What a file of a process says, in the kernel's format.

From the top down: text.
"""
