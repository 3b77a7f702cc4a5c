"""Who asks: what it may see, where it stands, and its memory.

From the top down: memory.
"""
