"""Downloads: what a spreadsheet would run is text, numbers stay numbers, accents survive."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal

import pandas as pd
import pytest

from claims_pipeline.dashboard.spreadsheet import harmless, to_csv


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u00a0=1",
        "＝1",
        "+64 9 000",
        "-",
        "-1e5x",
        "+1;2",
    ],
)
def test_a_cell_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-18.50", "+3", "12", "Hearing loss", "a=b", "(small groups)", "", "1-2", "O'Neill"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text


def test_a_file_begins_with_a_byte_order_mark() -> None:
    assert to_csv(pd.DataFrame({"a": [1]})).startswith(b"\xef\xbb\xbf")


def test_a_file_reads_back_as_what_was_shown() -> None:
    frame = pd.DataFrame(
        {
            "=name": ["=1", 'Māori, "quoted"\nline', None],
            "count": [1, 2, 3],
            "sum": [Decimal("-18.50"), Decimal(2), None],
            "day": [dt.date(2026, 11, 1), None, dt.date(2026, 11, 3)],
        }
    )
    rows = list(csv.reader(io.StringIO(to_csv(frame).decode("utf-8-sig"), newline="")))
    assert rows == [
        ["'=name", "count", "sum", "day"],
        ["'=1", "1", "-18.50", "2026-11-01"],
        ['Māori, "quoted"\nline', "2", "2", ""],
        ["", "3", "", "2026-11-03"],
    ]
