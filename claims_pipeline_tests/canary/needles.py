"""The search: every spelling in which a canary could show, looked for in bytes.

Belongs here: spellings and the search. Does not belong here: where the bytes come from (`places`).

Letters and digits go through most escapes unchanged (JSON, URL, HTML, repr, SQL), so the plain stem finds those. Others
are spelled out: UTF-16, hexadecimal, base64 at each of its three offsets, every character escaped by %, marks between
groups of digits, a float's exponent, dates and times as people and programs write them.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from claims_pipeline_tests.canary.values import Planted, Stem

_GROUP_MARKS = (",", ".", " ", "_", "'", "\u00a0", "\u202f")
_ZONES = range(-12, 15)  # hours from UTC in which a moment may be counted


@dataclass(frozen=True)
class Hit:
    """A canary found: of which class and by which spelling, where, and which one if its number stands behind it."""

    place: str
    stem: str
    spelling: str
    canary: str

    def __str__(self) -> str:
        return f"{self.place}: {self.stem} value, {self.spelling}{f' ({self.canary})' if self.canary else ''}"


def search(contents: Iterable[tuple[str, bytes]], stems: Iterable[Stem], planted: Planted | None = None) -> list[Hit]:
    """All canaries of these classes in places given as (name, bytes); each once for a place and spelling."""
    wanted = [(stem, spelling, needle, folds) for stem in stems for spelling, needle, folds in needles(stem)]
    return list(dict.fromkeys(_hits(contents, wanted, planted)))


def _hits(
    contents: Iterable[tuple[str, bytes]], wanted: list[tuple[Stem, str, bytes, bool]], planted: Planted | None
) -> Iterator[Hit]:
    for place, content in contents:
        folded = content.lower()
        for stem, spelling, needle, folds in wanted:
            searched = folded if folds else content
            at = searched.find(needle)
            while at >= 0:
                yield Hit(place, stem.name, spelling, _which(folded[at : at + 64], stem, planted))
                at = searched.find(needle, at + len(needle))


@functools.cache
def needles(stem: Stem) -> tuple[tuple[str, bytes, bool], ...]:
    """Every spelling of a class: what it is called, its bytes, and whether upper and lower case are one."""
    found: list[tuple[str, bytes, bool]] = []
    for form, text in (("text", stem.text), ("number", stem.digits), ("UUID", stem.guid), ("date", stem.day)):
        found += _encoded(form, text)
    found += [("UUID without dashes", stem.guid.replace("-", "").encode(), True)]
    found += [("time", needle.encode(), True) for needle in _times(stem)]
    found += [("date, written otherwise", needle.encode(), True) for needle in _dates(dt.date.fromisoformat(stem.day))]
    found += [("number in groups", needle.encode(), True) for needle in _grouped(stem.digits)]
    found += [("float", f"{stem.digits[0]}.{stem.digits[1:]}".encode(), True)]
    return tuple(dict.fromkeys(found))


def _encoded(form: str, text: str) -> Iterator[tuple[str, bytes, bool]]:
    raw = text.encode()
    yield form, raw.lower(), True
    yield f"{form}, UTF-16", text.lower().encode("utf-16-le"), True
    yield f"{form}, UTF-16 (big-endian)", text.lower().encode("utf-16-be"), True
    for spelt in {raw, raw.lower(), raw.upper()}:
        yield f"{form}, hexadecimal", spelt.hex().encode(), True
        yield f"{form}, %-escaped", "".join(f"%{byte:02x}" for byte in spelt).encode(), True
        for offset in range(3):
            yield f"{form}, base64", _base64(spelt, offset), False


def _base64(raw: bytes, offset: int) -> bytes:
    """The characters that do not depend on what stands before and behind, where the text begins at this offset."""
    encoded = base64.b64encode(bytes(offset) + raw)
    first = (offset * 8 + 5) // 6
    return encoded[first : (offset + len(raw)) * 8 // 6]


def _times(stem: Stem) -> Iterator[str]:
    yield f":{stem.clock}"
    minute, second, micro = (int(part) for part in re.findall(r"\d+", stem.clock))
    yield f"{minute}, {second}, {micro}"  # repr
    yield f"{stem.clock.replace(':', '').replace('.', '')}"
    moment = dt.datetime.fromisoformat(f"{stem.hour}{stem.clock}+00:00")
    for day in (0, 1):
        for hours in _ZONES:
            yield str(int((moment + dt.timedelta(days=day, hours=hours)).timestamp()))


def _dates(day: dt.date) -> Iterator[str]:
    for order in ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d"):
        yield from (day.strftime(order.format(mark)) for mark in "/.-")
    yield f"{day.year}, {day.month}, {day.day}"  # repr
    for name in (day.strftime("%b"), day.strftime("%B")):
        yield from (text.lower() for text in (f"{name} {day.day}, {day.year}", f"{day.day} {name} {day.year}"))
    yield str(int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()))


def _grouped(digits: str) -> Iterator[str]:
    """The begin of a number of any length in groups of three."""
    for first in (1, 2, 3):
        groups = [digits[:first], *(digits[at : at + 3] for at in range(first, len(digits), 3))]
        yield from (mark.join(groups) for mark in _GROUP_MARKS)


def _which(found: bytes, stem: Stem, planted: Planted | None) -> str:
    """The canary whose number stands behind a stem."""
    match = re.match(
        rf"{stem.text.lower()}([0-9a-z]{{5}})|{stem.digits}(\d{{7}})|{stem.guid}-([0-9a-f]{{12}})".encode(), found
    )
    if match is None or planted is None:
        return ""
    base = {1: 36, 2: 10, 3: 16}[match.lastindex or 1]
    canary = planted.canaries.get(int(match[match.lastindex or 1], base))
    return f"{canary.feed} {canary.column}, row {canary.row}" if canary else ""
