"""Hexadecimal numbers in the same place of many lines, read eight digits at a time.

Eight characters are one 64-bit word. For the digits of both kinds the low four bits tell the
value, but letters miss nine, and bit 6 tells letters; so a few operations on whole columns of
words do what a loop over characters would. What the digits would be written as again must be what
was there: this is how anything else, an upper-case letter too, is found out.
"""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.intp]
Truths = npt.NDArray[np.bool_]

FIELD_MAX = 16
"""Digits in the largest number."""
_WORD = 8
_ONES = 0x0101_0101_0101_0101
_ZEROS = np.uint64(0x30 * _ONES)  # "00000000"


def hex_field(text: bytes, at: Positions, width: int) -> tuple[Numbers, Truths]:
    """Read a number of width digits at each position of text.

    Args:
        text: Lines of maps.
        at: Where the numbers begin; FIELD_MAX bytes must follow in text.
        width: 8 to 16 digits.

    Returns:
        The numbers, and which of them are lower-case hexadecimal to the last digit. Those that
        are not have no meaning.
    """
    words = gather(text, at, FIELD_MAX).view(">u8").reshape(-1, 2)
    numbers, valid = _eight_digits(words[:, 0].astype(np.uint64))
    if width == _WORD:
        return numbers, valid
    more = width - _WORD
    rest = words[:, 1].astype(np.uint64) >> np.uint64(8 * (_WORD - more))
    if more < _WORD:
        rest |= _ZEROS << np.uint64(8 * more)
    low, low_valid = _eight_digits(rest)
    numbers <<= np.uint64(4 * more)
    return numbers | low, valid & low_valid


def gather(text: bytes, at: Positions, size: int) -> npt.NDArray[np.void]:
    """Return size bytes of text at each position, as one column."""
    every = np.ndarray((len(text) - size + 1,), f"V{size}", text, 0, (1,))
    return every[at]


def _eight_digits(words: Numbers) -> tuple[Numbers, Truths]:
    """Read words whose most significant byte is the first digit."""
    letters = words >> np.uint64(6) & np.uint64(_ONES)
    digits = (words & np.uint64(0x0F * _ONES)) + letters * np.uint64(9)
    digits &= np.uint64(0x0F * _ONES)
    above_nine = digits + np.uint64(6 * _ONES) >> np.uint64(4) & np.uint64(_ONES)
    valid = digits + _ZEROS + above_nine * np.uint64(ord("a") - 10 - ord("0")) == words
    for shift, mask in (4, 0x00FF_00FF_00FF_00FF), (8, 0x0000_FFFF_0000_FFFF), (16, 0xFFFF_FFFF):
        digits |= digits >> np.uint64(shift)
        digits &= np.uint64(mask)
    return digits, valid
