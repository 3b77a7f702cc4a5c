"""The VMA tree: byte ranges to VMAs, one writer, readers without a lock."""
