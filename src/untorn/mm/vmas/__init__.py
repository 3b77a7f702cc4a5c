"""Changing which VMAs there are: place, store, merge, split."""
