"""Strategies: which task makes the next step, and which schedule comes after this one."""
