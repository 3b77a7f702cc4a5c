"""Read texts of maps, and similar data, into columns.

From the top down: parse_again, parse, block, line_endings, from_text, text_lines, core_file,
leniency, columns, hex_field.
"""
