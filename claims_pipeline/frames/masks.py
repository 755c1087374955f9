"""Masks over rows, and values that are NULL where a mask says so: the small tools of every cast.

Belongs here: what knows arrays and masks only. Does not belong here: what is castable (`cast`, `physical`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Casted = tuple[pa.Array, Mask | None]
"""Values, NULL where they could not be cast, and a mask of those places; None when there are none."""


def matching(text: pa.Array, pattern: str) -> Casted:
    """The text, NULL where it does not match, and where that was."""
    matches = pc.match_substring_regex(text, pattern)
    if pc.all(matches, min_count=0).as_py():
        return text, None
    return pc.if_else(matches, text, None), mask_of(pc.invert(matches))


def null_where(values: pa.Array, condition: pa.Array) -> pa.Array:
    """The values, NULL where the condition is true."""
    if not pc.any(condition, min_count=0).as_py():
        return values
    return pc.if_else(pc.fill_null(condition, fill_value=False), pa.scalar(None, values.type), values)


def split(values: pa.Array, bad: pa.Array) -> Casted:
    """The values, NULL where the condition is true, and where that was."""
    if not pc.any(bad, min_count=0).as_py():
        return values, None
    return null_where(values, bad), mask_of(bad)


def mask_of(condition: pa.Array) -> Mask:
    """A condition as a writable mask; NULL counts as false."""
    mask: Mask = pc.fill_null(condition, fill_value=False).to_numpy(zero_copy_only=False)
    return mask if mask.flags.writeable else mask.copy()


def either(first: Mask | None, second: Mask | None) -> Mask | None:
    """Where one of two masks is true; None where neither is anywhere."""
    if first is None or second is None:
        both = second if first is None else first
        return both if both is not None and both.any() else None
    return first | second
