"""How a sender writes numbers and days: marks within numbers and strptime forms -> the one form that casts read.

Belongs here: rewriting of text. Does not belong here: what is castable: a form may match what the calendar lacks
(31/02/2025), and the cast says so.

Arrow's own strptime is not used: it lets 31 February through as 3 March, and reads no fractions of a second.
"""

from __future__ import annotations

import functools
import re

import pyarrow as pa
import pyarrow.compute as pc

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DIRECTIVES = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "b": f"(?P<b>{'|'.join(_MONTHS)})",
    "B": f"(?P<B>{'|'.join(_LONG_MONTHS)})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>1[0-2]|0?[1-9])",
    "p": "(?P<p>am|pm)",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2})",
    "f": "(?P<f>[0-9]{1,6})",
}
_LAST_OF_2000S = 68  # POSIX: two digits up to 68 are of the 2000s, others of the 1900s


def plain_numbers(text: pa.Array, *, decimal: str, thousands: str) -> pa.Array:
    """Numbers with the marks of a sender, rewritten to digits with a point; what is no such number becomes "?".

    Groups must be of three digits: under thousands "." the text 1.5 is no number, and surely not 15.

    Args:
        text: without surrounding blanks.
        decimal: decimal mark.
        thousands: mark between groups of digits; empty for none.
    """
    if (decimal, thousands) == (".", ""):
        return text
    point, group = re.escape(decimal), re.escape(thousands)
    whole = f"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]*)" if thousands else "[0-9]*"
    fits = pc.match_substring_regex(text, f"^-?{whole}(?:{point}[0-9]*)?$")
    plain = pc.replace_substring(text, thousands, "") if thousands else text
    return pc.if_else(fits, pc.replace_substring(plain, decimal, "."), pc.if_else(pc.is_null(text), None, "?"))


def iso(text: pa.Array, forms: tuple[str, ...], *, time: bool) -> pa.Array:
    """Texts that match a form, rewritten to ISO (YYYY-MM-DD, with HH:MM:SS.ffffff if `time`); others as they are.

    Args:
        text: without surrounding blanks.
        forms: strptime forms of Y y m b B d H I p M S f; tried in order. Names of months are English, in any case.
            Digits may lack leading zeros; years of two digits are 1969 to 2068.
        time: whether time stamps are meant.

    Raises:
        ValueError: a form holds another directive, or lacks a part of a date.
    """
    done = pc.is_null(text)
    for form in forms:
        if pc.all(done, min_count=0).as_py():
            break
        found = pc.extract_regex(pc.utf8_lower(text), _pattern(form))
        matches = pc.and_(pc.is_valid(found), pc.invert(done))
        if pc.any(matches, min_count=0).as_py():
            text = pc.if_else(matches, _recomposed(found, time=time), text)
            done = pc.or_(done, matches)
    return text


@functools.cache
def _pattern(form: str) -> str:
    parts: list[str] = []
    for literal, directive in re.findall(r"([^%]+)|%(.?)", form):
        if directive == "%":
            parts.append("%")
        elif literal:
            parts.append(re.escape(literal.lower()))
        elif directive in _DIRECTIVES:
            parts.append(_DIRECTIVES[directive])
        else:
            raise ValueError(f"the form {form!r} holds a directive that is none of {' '.join(_DIRECTIVES)}")
    pattern = "".join(parts)
    for needed in ("Yy", "mbB", "d"):
        if not any(f"?P<{name}>" in pattern for name in needed):
            raise ValueError(f"the form {form!r} lacks year, month or day")
    return f"^{pattern}$"


def _recomposed(found: pa.Array, *, time: bool) -> pa.Array:
    names = {found.type.field(i).name for i in range(found.type.num_fields)}

    def part(name: str) -> pa.Array:
        return pc.struct_field(found, name)

    def two(name: str) -> pa.Array | str:
        return pc.utf8_lpad(part(name), 2, padding="0") if name in names else "00"

    year = part("Y") if "Y" in names else _century(part("y"))
    if "m" in names:
        month = two("m")
    else:
        name, known = ("b", _MONTHS) if "b" in names else ("B", _LONG_MONTHS)
        numbers = pa.array([f"{i:02d}" for i in range(1, 13)])
        month = pc.take(numbers, pc.index_in(part(name), value_set=pa.array(known)))
    date = pc.binary_join_element_wise(year, month, two("d"), "-")
    if not time:
        return date
    hour = _of_24(part("I"), part("p")) if {"I", "p"} <= names else two("H")
    clock = pc.binary_join_element_wise(hour, two("M"), two("S"), ":")
    if "f" in names:
        clock = pc.binary_join_element_wise(clock, part("f"), ".")
    return pc.binary_join_element_wise(date, clock, " ")


def _century(two_digits: pa.Array) -> pa.Array:
    late = pc.greater(pc.cast(two_digits, pa.int16()), _LAST_OF_2000S)
    return pc.binary_join_element_wise(pc.if_else(late, "19", "20"), two_digits, "")


def _of_24(hour: pa.Array, half: pa.Array) -> pa.Array:
    hours = pc.cast(hour, pa.int16())
    morning = pc.if_else(pc.equal(hours, 12), pa.scalar(0, pa.int16()), hours)
    of_24 = pc.if_else(pc.equal(half, "pm"), pc.add(morning, pa.scalar(12, pa.int16())), morning)
    return pc.utf8_lpad(pc.cast(of_24, pa.string()), 2, padding="0")
