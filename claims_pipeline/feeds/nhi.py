"""New Zealand's National Health Index numbers: whether one is well formed and its check character right. Pure.

Belongs here: the check. Does not belong here: what becomes of the number (the contract: a token, and this as a flag).

The rule is HISO 10046's, and the library `python-nhi` follows it: two formats, AAANNNC (check digit, mod 11) and
AAANNAX (check letter, mod 23 since the edition of 2023, issued from 1 July 2026), letters without I and O.
"""

from __future__ import annotations

from nhi import is_nhi


def is_valid_nhi(text: str) -> bool:
    """Whether the text is an NHI number of either format with the right check character.

    Case and surrounding blanks do not count. Numbers that begin with Z are for tests and count as valid: whether a
    record is a test is said by another column.
    """
    number = text.strip().upper()
    # The library's \d lets other scripts' digits through.
    return number.isascii() and bool(is_nhi(number, allow_test_values=True))
