"""NHI numbers of both formats: only the right check character passes. No number here but test numbers and patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds.nhi import is_valid_nhi

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, 1 to 24 (feeds.md 4.3)
WEIGHTS = (7, 6, 5, 4, 3, 2)

_letters = st.text(st.sampled_from(LETTERS), min_size=3, max_size=3)


def weighed(body: str) -> int:
    values = [int(c) if c.isdigit() else LETTERS.index(c) + 1 for c in body]
    return sum(value * weight for value, weight in zip(values, WEIGHTS, strict=True))


@pytest.mark.parametrize("number", ["ZZZ0016", "ZAC5361", "ZBN77VL", "ZZZ00AC"])
def test_published_valid_numbers_pass(number: str) -> None:
    assert is_valid_nhi(number)


@pytest.mark.parametrize("number", ["ZZZ0044", "ZZZ00AA", "ZVU27KA", "DAB8233"])
def test_published_invalid_numbers_do_not_pass(number: str) -> None:
    assert not is_valid_nhi(number)


@pytest.mark.parametrize("number", ["zzz0016", " ZZZ0016\n", "zbn77vl"])
def test_case_and_surrounding_blanks_do_not_count(number: str) -> None:
    assert is_valid_nhi(number)


@pytest.mark.parametrize(
    "text",
    [
        "", "Z", "ZZZ001", "ZZZ00166", "ZZZ 0016", "ZZZ-0016", "0016ZZZ", "ZIZ0016", "ZZO00AC", "ZZZ00A\n",
        "ZZZ\uff10\uff10\uff11\uff16", "ZZZ\u0660\u0660\u0661\u0666", "ŻZZ0016",
    ],
    ids=range(13),
)  # fmt: skip
def test_what_has_not_the_shape_does_not_pass(text: str) -> None:
    assert not is_valid_nhi(text)


@given(letters=_letters, digits=st.from_regex("[0-9]{3}", fullmatch=True))
def test_of_ten_check_digits_of_the_old_format_the_one_mod_11_passes(letters: str, digits: str) -> None:
    body = letters + digits
    rest = weighed(body) % 11
    passing = [check for check in range(10) if is_valid_nhi(f"{body}{check}")]
    assert passing == ([(11 - rest) % 10] if rest else [])  # without a rest the number is never issued


@given(letters=_letters, digits=st.from_regex("[0-9]{2}", fullmatch=True), last=st.sampled_from(LETTERS))
def test_of_all_check_letters_of_the_new_format_the_one_mod_23_passes(letters: str, digits: str, last: str) -> None:
    body = letters + digits + last
    passing = [check for check in LETTERS if is_valid_nhi(f"{body}{check}")]
    assert passing == [LETTERS[23 - weighed(body) % 23 - 1]]
