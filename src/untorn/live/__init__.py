"""The running kernel's side: its maps files and what it and the machine offer."""
