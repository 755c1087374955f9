"""Areas of few people: which first three digits of a ZIP code would tell too much.

Belongs here: the list, read from `data/small_zip3.txt`, where its sources stand and where it is kept up to date. Does
not belong here: its use (treat.py).
"""

from __future__ import annotations

import functools
import re
from importlib import resources

_ENTRY = re.compile(r"[0-9]{3}(-[0-9]{3})?")


@functools.cache
def small_zip3() -> frozenset[str]:
    """First three digits of ZIP codes that are stored as "000" (45 CFR 164.514(b)(2)(i)(B)).

    Raises:
        ValueError: an entry of the list is neither three digits nor a range of them.
    """
    text = (resources.files("claims_pipeline.frames") / "data" / "small_zip3.txt").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> frozenset[str]:
    """The prefixes of a list: numbers and ranges of three digits, between blanks; comments begin with #.

    Raises:
        ValueError: an entry is neither three digits nor a range of them, or the list is empty: then every area would
            be told.
    """
    found: set[str] = set()
    for entry in " ".join(line.partition("#")[0] for line in text.splitlines()).split():
        if not _ENTRY.fullmatch(entry):
            raise ValueError(f"the list of small ZIP areas has an entry that is no prefix: {entry!r}")
        first, _, last = entry.partition("-")
        found |= {f"{number:03}" for number in range(int(first), int(last or first) + 1)}
    if not found:
        raise ValueError("the list of small ZIP areas is empty")
    return frozenset(found)
