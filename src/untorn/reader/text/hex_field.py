"""Read hexadecimal numbers in the same place of many lines, all at once."""

from binascii import a2b_hex

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.intp]
Truths = npt.NDArray[np.bool_]
Fields = npt.NDArray[np.void]

FIELD_MAX = 16
"""Digits of the largest number."""
_WORD = 8
"""Bytes of a number."""


def hex_numbers(fields: Fields) -> tuple[Numbers, Truths]:
    """Read a column of fields: numbers with as many digits as a field has bytes.

    Returns:
        The numbers, and which of them are lower-case hexadecimal in every digit. The others are
        meaningless.
    """
    width = fields.dtype.itemsize
    digits = fields.view(np.uint8).reshape(-1, width)
    good = (digits - ord("0") < 10) | (digits - ord("a") < 6)
    valid: Truths = np.ones(len(fields), np.bool_)
    if not good.all():
        valid = np.all(good, axis=1)
        digits = np.where(good, digits, np.uint8(ord("0")))
    if width % 2:
        digits = np.pad(digits, ((0, 0), (1, 0)), constant_values=ord("0"))
    # Each word ends with the bytes of its number, and begins with some of the number before.
    size = (width + 1) // 2
    packed = bytes(_WORD - size) + a2b_hex(digits.data)
    words = np.ndarray((len(fields),), ">u8", packed, 0, (size,))
    return words.astype(np.uint64) & np.uint64((1 << 8 * size) - 1), valid


def gather(text: bytes, at: Positions, size: int) -> Fields:
    """Return size bytes of text from each position, as one column."""
    every = np.ndarray((len(text) - size + 1,), f"V{size}", text, 0, (1,))
    return every[at]
