"""The row hash: one value that changes exactly when a hashed column of the row does.

Belongs here: the canonical bytes of a row. Does not belong here: what is done with the hash.

The hash is stored and compared for years, so it rests on declared bytes only, not on a library's hashing:
BLAKE2b with a digest of 16 bytes over the hashed stored columns in the contract's order, joined by the byte 0x1F. Each
value is written as UTF-8: NULL as one 0x00; text as it is; integers and decimals in digits (decimals with all digits of
their scale); booleans as true and false; dates as YYYY-MM-DD; time stamps as microseconds since 1970 in UTC; lists as
the number of entries, a 0x1E, and the entries joined by 0x1E (NULL as one 0x00). In text and entries the bytes 0x10,
0x1E and 0x1F are written as 0x10 and the byte plus 0x40; stored text holds no 0x00. So two rows have one line only if
they are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.frames.octets import span

HASH_BYTES = 16
_FIELD, _ENTRY, _ESCAPE, _NULL = "\x1f", "\x1e", "\x10", "\0"


def row_hashes(columns: Sequence[pa.Array]) -> pa.Array:
    """Hashes of rows, as fixed-size binary of 16 bytes.

    Args:
        columns: the hashed stored columns, in the contract's order, at least one.
    """
    fresh = hashlib.blake2b(digest_size=HASH_BYTES).copy  # cheaper than a new one with its arguments
    digests: list[bytes] = []
    add = digests.append
    for line in _lines(columns).to_pylist():
        state = fresh()
        state.update(line)
        add(state.digest())
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(HASH_BYTES), len(digests), [None, pa.py_buffer(b"".join(digests))]
    )


def _lines(columns: Sequence[pa.Array]) -> pa.Array:
    """The canonical bytes of each row."""
    fields = [_canonical(column) for column in columns]
    return pc.binary_join_element_wise(
        *(pc.cast(f, pa.binary()) for f in fields),
        _FIELD.encode(),
        null_handling="replace",
        null_replacement=_NULL.encode(),
    )


def _canonical(column: pa.Array) -> pa.Array:
    """A column in its canonical text, NULL staying NULL."""
    kind = column.type
    if pa.types.is_string(kind):
        return _escaped(column)
    if pa.types.is_timestamp(kind):
        return pc.cast(pc.cast(pc.cast(column, pa.timestamp("us", kind.tz)), pa.int64()), pa.string())
    if pa.types.is_list(kind):
        return _canonical_list(column)
    return pc.cast(column, pa.string())


def _canonical_list(column: pa.Array) -> pa.Array:
    lengths = pc.list_value_length(column)
    entries = pc.fill_null(_escaped(pc.list_flatten(column)), _NULL)
    counts = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, entries), _ENTRY)
    return pc.binary_join_element_wise(pc.cast(lengths, pa.string()), joined, _ENTRY)


def _escaped(text: pa.Array) -> pa.Array:
    if span(text)[0] > ord(_FIELD):  # the last of the three marks: nearly always there is none
        return text
    for mark in (_ESCAPE, _ENTRY, _FIELD):
        text = pc.replace_substring(text, mark, _ESCAPE + chr(ord(mark) + 0x40))
    return text
