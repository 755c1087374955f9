"""CSV that a spreadsheet shows and does not run.

Belongs here: the bytes of a download. Does not belong here: what is in it. A cell that begins like a formula gets an
apostrophe before it, unless it is a number (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pandas as pd

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With which a formula begins, the full-width forms that some spreadsheets take for them included."""
_NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?")


def to_csv(frame: pd.DataFrame) -> bytes:
    """The frame as UTF-8 with a byte order mark, so that Excel reads accents; every text cell is quoted."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow([harmless(str(name)) for name in frame.columns])
    for row in frame.itertuples(index=False):
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode("utf-8-sig")


def harmless(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would run it."""
    if _NUMBER.fullmatch(text):
        return text
    # Leading blanks do not stop a spreadsheet that trims what it reads.
    return f"'{text}" if text.startswith(_STARTS) or text.lstrip(" \u00a0").startswith(_STARTS) else text


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and pd.isna(value)) or value is pd.NaT:
        return ""
    if isinstance(value, bool | int | float | Decimal):
        return value
    return harmless(str(value))
