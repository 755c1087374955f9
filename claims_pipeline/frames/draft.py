"""A first contract from a sample file: conservative, and without any value of it.

Belongs here: looking at a sample and writing a sender's module as text. Does not belong here: deciding for a person.
Text where a type is in doubt; every column that looks personal, by name or by the shape of its values, is dropped until
somebody says otherwise.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from claims_pipeline.errors import BadDump
from claims_pipeline.frames.header import SHOWABLE

SAMPLE_ROWS = 20_000
_SNIFFED_BYTES = 1 << 16
_COMPRESSED = (".gz", ".zst", ".bz2")

_PERSONAL_NAME = re.compile(
    r"name|(^|_)age|ssn|social|birth|dob|e?mail|phone|mobile|cell|fax|address|street|suburb|city|zip|postcode|post_code|latitude"
    r"|longitude|nhi|icn|edipi|mrn|passport|licen[cs]e|account|iban|routing|bank|card|note|comment|message|remark"
    r"|description|reason|narrative|summary|text|ethnic|religio|gender|sex|diagnos|condition|ip_?addr|url|photo|token"
    r"|secret|password",
    re.IGNORECASE,
)
_PERSONAL_VALUE = re.compile(
    r"[^@\s]+@[^@\s]+\.[A-Za-z]+"  # e-mail address
    r"|\+?[0-9][0-9 ()-]{8,}[0-9]"  # telephone, SSN, account: long runs of digits
    r"|[A-Z]{3}[0-9]{4}|[A-Z]{3}[0-9]{2}[A-Z]{2}"  # NHI, both forms
)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,9})\.[0-9]{1,2}")
_BOOLEAN = re.compile(r"t|f|true|false", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?: UTC|Z|[+-][0-9:]{2,5})?"
)
_STAMP = re.compile(r"(?<![0-9])(?:[0-9]{14}|[0-9]{12}|[0-9]{8}(?:T[0-9]{6}Z?)?)(?![0-9])")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_DATA = (_INTEGER, _DECIMAL, _DATE, _TIMESTAMP, _PERSONAL_VALUE, _GUID)
"""What no column is called: a first line that holds one of these is a person's data, in a file without a header."""
_LONG_TEXT = 40
"""Characters from which text is taken for free text, which may say anything about anybody."""


@dataclass(frozen=True)
class _Drafted:
    """A column as the sample shows it; `personal` says why it looks personal, and is empty when it does not."""

    name: str
    type: str
    personal: str
    nullable: bool
    unique: bool


def draft(sample: Path, *, sender: str) -> str:
    """The text of a sender's module, to be read, corrected and saved in `claims_pipeline/feeds/`.

    Args:
        sample: a CSV (compressed or not, as its name says) or Parquet file; its first rows are looked at.
        sender: identifier of the sender.

    Raises:
        BadDump: the file is neither CSV with a header nor Parquet. A name that is no identifier is not told either: it
            may be a value.
    """
    parquet = sample.suffix == ".parquet"
    header = b"" if parquet else _first_line(sample)
    delimiter = _sniffed(header)
    table = _parquet(sample) if parquet else _csv(sample, header, delimiter)
    table = table.rename_columns(
        [name if SHOWABLE.fullmatch(name) else f"column_{i}" for i, name in enumerate(table.column_names, 1)]
    )
    drafted = [_column(name, table.column(i)) for i, name in enumerate(table.column_names)]
    unpacked = sample.stem if sample.suffix in _COMPRESSED else sample.name
    stem = _STAMP.split(Path(unpacked).stem)[0].strip("_-. ") or "dump"
    dataset = _snake(stem)
    key = _key(drafted)
    version = next(
        (c.name for c in drafted if c.type == "Timestamp" and re.search("(?i)updat|modif|chang", c.name)), None
    )
    lines = [_line(c, key=c.name == key, version=c.name == version) for c in drafted]
    pattern = re.escape(sample.name)
    if stamp := _STAMP.search(sample.name):
        pattern = f"{re.escape(sample.name[: stamp.start()])}(?P<stamp>[0-9TZ]+){re.escape(sample.name[stamp.end() :])}"
    used = sorted({c.type for c in drafted} | {"Drop", "Feed", "Keep", "FeedModel", "Pii", "Sender", "column"})
    facts = [f'version="{_snake(version)}"'] if version else []
    if parquet:
        facts.append("format=Parquet()")
        used.append("Parquet")
    elif delimiter != ",":
        facts.append(f"format=Csv(delimiter={delimiter!r})")
        used.append("Csv")
    if any(_snake(c.name) != c.name for c in drafted):
        facts.append('names="loose"')
    imports = "".join(f"    {name},\n" for name in sorted(used))
    tail = "".join(f", {fact}" for fact in facts)
    return _MODULE.format(
        sender=sender,
        imports=imports,
        model=_camel(dataset),
        columns="\n".join(lines),
        key_note="" if key else "    # No column is unique and never empty in the sample: declare the key by hand.\n",
        dataset=dataset,
        pattern=pattern.replace('"', r"\""),
        tail=tail,
    )


_MODULE = '''"""{sender}: drafted from a sample by `claims-pipeline feeds draft`. Read every line before it is used.

Columns that look personal are dropped. Change `Drop()` to `Token()`, `Reduce(...)` or `Keep()` where you may, and say
the class (`pii=`) that a column really has. Descriptions are for the people who will query the table.
"""

import datetime as dt

from claims_pipeline.feeds.contract import (
{imports})

SENDER = Sender(
    name="{sender}",
    title="{sender}",
    timezone="UTC",  # of time stamps without a zone, and of delivery days
    prefix="{sender}/",  # where its keys begin in the inbox
    start=dt.date(2026, 1, 1),  # first delivery day
)


class {model}(FeedModel):
    """One row per ..."""

{key_note}{columns}


FEEDS = (Feed(SENDER, "{dataset}", {model}, (r"^{pattern}$",){tail}),)
'''


def _line(column: _Drafted, *, key: bool, version: bool) -> str:
    name = _snake(column.name)
    facts = []
    if column.personal:
        facts.append("pii=Pii.SPECIAL, treatment=Drop()")
    elif key:
        facts.append("pii=Pii.PSEUDONYMOUS, key=True")
    elif column.type in ("Date", "Timestamp"):
        facts.append("pii=Pii.QUASI, treatment=Keep()")
    if version:
        facts.append("required=True, nullable=False")
    note = f"  # {column.personal}" if column.personal else ""
    return f'    {name}: {column.type} = column("..."{"".join(f", {fact}" for fact in facts)}){note}'


def _column(name: str, values: pa.ChunkedArray) -> _Drafted:
    texts = [text for text in values.cast(pa.string()).to_pylist() if text not in (None, "")]
    nullable = len(texts) < len(values)
    unique = bool(texts) and not nullable and len(set(texts)) == len(texts)
    type_ = _type(texts)
    personal = ""
    if _PERSONAL_NAME.search(name):
        personal = "looks personal by its name"
    elif type_ == "Text" and any(_PERSONAL_VALUE.fullmatch(text.strip()) for text in texts):
        personal = "looks personal by the shape of its values"
    elif type_ == "Text" and any(len(text) > _LONG_TEXT for text in texts):
        personal = "free text may say anything"
    return _Drafted(name, "Text" if personal else type_, personal, nullable, unique)


def _type(texts: Sequence[str]) -> str:
    shapes = (
        ("BigInt", _INTEGER),
        ("Money", _DECIMAL),
        ("Boolean", _BOOLEAN),
        ("Date", _DATE),
        ("Timestamp", _TIMESTAMP),
    )
    for name, shape in shapes:
        if texts and all(shape.fullmatch(text) for text in texts):
            return name
    return "Text"


def _key(drafted: Sequence[_Drafted]) -> str | None:
    unique = [c.name for c in drafted if c.unique and not c.personal]
    return next((name for name in unique if re.search("(^|_)id$|ID$|Id$", name)), unique[0] if unique else None)


def _parquet(sample: Path) -> pa.Table:
    try:
        with pq.ParquetFile(sample) as file:
            return pa.Table.from_batches(file.iter_batches(batch_size=SAMPLE_ROWS), schema=file.schema_arrow)[
                :SAMPLE_ROWS
            ]
    except (pa.ArrowException, OSError):
        raise BadDump("dump.unreadable", f"{sample.name} is no Parquet file") from None


def _first_line(sample: Path) -> bytes:
    try:
        with pa.input_stream(str(sample)) as file:  # decompresses what its name says is compressed, as read_csv does
            return bytes(file.read(_SNIFFED_BYTES)).partition(b"\n")[0]
    except OSError:
        raise BadDump("dump.unreadable", f"{sample.name} cannot be read") from None


def _csv(sample: Path, header: bytes, delimiter: str) -> pa.Table:
    names = _header(header, delimiter)
    try:
        return pyarrow.csv.read_csv(
            sample,
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=lambda _: "skip"
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
            ),
        )[:SAMPLE_ROWS]
    except (pa.ArrowException, OSError):
        raise BadDump("dump.unreadable", f"{sample.name} is no CSV file in UTF-8 with a header") from None


def _header(line: bytes, delimiter: str) -> list[str]:
    try:
        names = next(csv.reader([line.decode("utf-8-sig")], delimiter=delimiter), [])
    except (UnicodeDecodeError, csv.Error):
        raise BadDump("dump.unreadable", "the first line is no header in UTF-8") from None
    for place, name in enumerate(names, 1):
        if any(shape.fullmatch(name.strip()) for shape in _DATA):
            raise BadDump("dump.unreadable", f"the first line is no header: its field {place} looks like data")
    return names


def _sniffed(header: bytes) -> str:
    return max(",;\t|", key=header.decode("utf-8", "replace").count)


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    clean = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").lower()
    return f"c_{clean}" if not clean or clean[0].isdigit() else clean


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
