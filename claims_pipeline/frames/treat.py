"""Treatment of personal data: typed columns of the contract -> stored columns.

Belongs here: keep, drop, token, every reduction, flags. Does not belong here: which column gets which (the
contract).

A token is '<key version>_<24 characters>': HMAC-SHA-256 over sender, family (or column) and value, joined by the byte
0x1F; its first 18 bytes in URL-safe base64. 18 bytes need no padding, and two of a billion values share one with a
probability below 2^-84. Values are compared as they come from the cast: text in NFC without surrounding blanks, other
types in their canonical text. Case and length are never touched: a user_uuid comes in three formats, which are three
logins (feeds.md 1.4). NULL stays NULL.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import Column, Drop, Flag, Keep, Reduce, Reduction, Token
from claims_pipeline.frames.keys import KeyRing
from claims_pipeline.frames.physical import canonical_text
from claims_pipeline.frames.zip3 import small_zip3

TOKEN_BYTES = 18
_TOKEN_CHARACTERS = 24
_SHA256_BLOCK = 64
_SAMPLE = 512  # values of a batch that are looked at for repetition

_ZIP = r"^(?P<zip3>[0-9]{3})[0-9]{2}(?:[-\s]?[0-9]{4})?$"

# Known kinds of documents only: in 'Jane.Doe' the "extension" is a name.
EXTENSIONS = (
    "bmp", "csv", "doc", "docx", "eml", "gif", "heic", "htm", "html", "jpeg", "jpg", "json", "mov", "mp3", "mp4", "msg",
    "odt", "pdf", "png", "ppt", "pptx", "rtf", "tif", "tiff", "txt", "webp", "xls", "xlsx", "xml", "zip",
)  # fmt: skip
OTHER_EXTENSION = "other"

_PARTIAL_DATE = r"^(?P<year>[0-9]{4}|XXXX)-(?P<month>[0-9]{2}|XX)-(?P<day>[0-9]{2}|XX)$"
_OLDEST_TOLD = 89  # years; 45 CFR 164.514(b)(2)(i)(C)


def treat(values: pa.Array, column: Column, *, sender: str, keys: KeyRing, delivery_day: dt.date) -> list[pa.Array]:
    """The stored arrays of one column without companions, in the order of `column.stored`; none when it is dropped.

    Args:
        values: typed and validated values.
        column: the contract's column.
        sender: name of the sender, whose tokens are its own.
        keys: the token ring; its last key signs.
        delivery_day: day on which an age is taken.
    """
    match column.facts.treatment:
        case Drop():
            return []
        case Keep():
            return [values]
        case Token(family=family, upper=upper):
            values = pc.utf8_upper(values) if upper else values
            return [tokens(values, sender=sender, family=family or column.name, keys=keys)]
        case Reduce(to=to):
            return reduce(values, to, delivery_day=delivery_day)


def flags(values: pa.Array, flag: Flag) -> pa.Array:
    """What a flag says of each value; NULL stays NULL. Each distinct value is asked once.

    Args:
        values: typed, before treatment.
        flag: the contract's flag.

    Raises:
        ClaimsPipelineError: the flag's function raised; it names the flag.
    """
    encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(canonical_text(values)[0]))
    try:
        said = [bool(flag.holds(value)) for value in encoded.dictionary.to_pylist()]
    except Exception:  # a contract's own code; whatever it raised may quote values
        said = None
    if said is None:
        raise ClaimsPipelineError(f"the flag {flag.name} could not be computed; its function raised")
    return pc.take(pa.array(said, pa.bool_()), encoded.indices)


def tokens(values: pa.Array, *, sender: str, family: str, keys: KeyRing) -> pa.Array:
    """The tokens of values; see the module's charter for their form."""
    texts = pc.cast(values, pa.string())
    few = texts.slice(0, _SAMPLE)
    if pc.count_distinct(few).as_py() * 2 <= len(few):  # many rows of one person or practice: each is signed once
        encoded = pc.dictionary_encode(texts)
        return pc.take(_signed(encoded.dictionary, sender, family, keys), encoded.indices)
    made = _signed(pc.drop_null(texts), sender, family, keys)
    if texts.null_count == 0:
        return made
    return pc.replace_with_mask(pa.nulls(len(texts), pa.string()), pc.is_valid(texts), made)


def _signed(texts: pa.Array, sender: str, family: str, keys: KeyRing) -> pa.Array:
    """The tokens of texts without NULL."""
    version, key = keys.current
    # HMAC by RFC 2104, with both halves prepared once: hmac.HMAC.copy per value takes twice as long.
    block = np.frombuffer(key.ljust(_SHA256_BLOCK, b"\0"), np.uint8)
    inner = hashlib.sha256((block ^ 0x36).tobytes() + f"{sender}\x1f{family}\x1f".encode()).copy
    outer = hashlib.sha256((block ^ 0x5C).tobytes()).copy
    macs: list[bytes] = []
    add = macs.append
    for text in pc.cast(texts, pa.binary()).to_pylist():
        message = inner()
        message.update(text)
        mac = outer()
        mac.update(message.digest())
        add(mac.digest())
    bodies = np.frombuffer(b"".join(macs), np.uint8).reshape(-1, 32)[:, :TOKEN_BYTES]
    # 18 bytes are 24 characters exactly, so one encoding of all is all encodings of one.
    encoded = base64.urlsafe_b64encode(bodies.tobytes())
    made = pa.Array.from_buffers(pa.binary(_TOKEN_CHARACTERS), len(macs), [None, pa.py_buffer(encoded)])
    return pc.binary_join_element_wise(f"{version}_", pc.cast(pc.cast(made, pa.binary()), pa.string()), "")


def reduce(values: pa.Array, to: Reduction, *, delivery_day: dt.date) -> list[pa.Array]:
    """The coarser form of values; a text that has not the expected shape becomes NULL, never a piece of itself.

    Sources: BIRTH_YEAR 45 CFR 164.514(b)(2)(i)(C), ages over 89 in one class; ZIP3 (b)(2)(i)(B), see zip3.py; YEAR
    (b)(2)(i)(C), which leaves years. MONTH is our own and finer than (C) allows (feeds.md 2.2: the month in which
    somebody leaves service is asked for), so such a row stays restricted. EXTENSION, COUNT and PARTIAL_DATE are our
    own.
    """
    match to:
        case Reduction.BIRTH_YEAR:
            return [_birth_years(values, delivery_day)]
        case Reduction.YEAR:
            return [pc.cast(pc.year(values), pa.int16())]
        case Reduction.MONTH:
            return [pc.floor_temporal(pc.cast(values, pa.date32()), unit="month")]
        case Reduction.ZIP3:
            zip3 = pc.struct_field(pc.extract_regex(values, _ZIP), "zip3")
            return [pc.if_else(pc.is_in(zip3, value_set=pa.array(sorted(small_zip3()))), "000", zip3)]
        case Reduction.EXTENSION:
            return [_extensions(values)]
        case Reduction.COUNT:
            return [pc.cast(pc.list_value_length(values), pa.int32())]
        case Reduction.PARTIAL_DATE:
            parts = pc.extract_regex(values, _PARTIAL_DATE)
            return [_part(pc.struct_field(parts, name)) for name in ("year", "month", "day")]


def _birth_years(values: pa.Array, delivery_day: dt.date) -> pa.Array:
    """Year of birth as text; '90+' for people of more than 89 full years on the delivery day."""
    years_ago = delivery_day.year - (_OLDEST_TOLD + 1)
    try:
        born_by = delivery_day.replace(year=years_ago)
    except ValueError:  # 29 February
        born_by = dt.date(years_ago, 2, 28)
    dates = pc.cast(values, pa.date32())
    encoded = pc.dictionary_encode(pc.year(dates))  # pc.strftime of each date takes twenty times as long
    years = pc.take(pc.utf8_lpad(pc.cast(encoded.dictionary, pa.string()), 4, padding="0"), encoded.indices)
    return pc.if_else(pc.less_equal(dates, pa.scalar(born_by, pa.date32())), f"{_OLDEST_TOLD + 1}+", years)


def _extensions(values: pa.Array) -> pa.Array:
    found = pc.struct_field(pc.extract_regex(pc.utf8_lower(values), r"\.(?P<extension>[^.]*)$"), "extension")
    known = pc.is_in(found, value_set=pa.array(EXTENSIONS))
    return pc.if_else(pc.is_valid(found), pc.if_else(known, found, OTHER_EXTENSION), None)


def _part(part: pa.Array) -> pa.Array:
    return pc.cast(pc.if_else(pc.match_substring(part, "X"), None, part), pa.int16())
