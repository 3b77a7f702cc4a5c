"""Processes of our own: started, talked with, placed, disturbed and ended."""
