"""Where records end is found the same whether a text is looked at piece by piece or character by character."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claims_pipeline.frames import csv_records

from .samples import relaxed

texts = st.text(st.sampled_from(list('a",\r\n')), max_size=24).map(str.encode)


def ends(text: bytes) -> list[int]:
    """Where records end, by reading one character after the other."""
    found: list[int] = []
    inside, begins, i = False, True, 0
    while i < len(text):
        mark = text[i : i + 1]
        if inside and text[i : i + 2] == b'""':
            i += 1
        elif mark == b'"' and (inside or begins):
            inside = not inside
        elif mark in b"\r\n" and not inside:
            found.append(i + 1)
        begins = not inside and mark in b",\r\n"
        i += 1
    return found


@relaxed
@given(texts, st.integers(1, 5))
@example(b'a,"b\n""c"\r\nd', 1)
@example(b'"a"\n"b', 2)
def test_the_last_record_ends_where_a_reader_of_characters_says(text: bytes, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "_PIECE", piece)
        found = csv_records.last_end(text, quote=b'"', delimiter=b",")
        lines = csv_records.line_ends(memoryview(text))
    every = ends(text)
    by_lf = [end for end in every if text[end - 1 : end] == b"\n"]
    by_cr = [end for end in every if end < len(text)]  # a last CR may be half of a line end
    assert found == (by_lf or by_cr or [0])[-1]
    assert lines == len(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")) - 1
