"""Texts of maps, and what is like them, read into columns."""
