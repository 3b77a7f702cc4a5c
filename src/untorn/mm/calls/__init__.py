"""The system calls that change an address space, a file for each."""
