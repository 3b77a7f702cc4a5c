"""Texts of maps, and what is like them, read into columns.

From the top down: parse_again, parse, block, line_endings, from_text, text_lines, core_file,
leniency, columns, hex_field.
"""
