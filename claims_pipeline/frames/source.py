"""The choice of a source: a dump's format -> who reads it, from what.

Belongs here: which format needs random access. Does not belong here: a format itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from claims_pipeline.feeds.contract import Csv, FixedWidth, Format, JsonLines, Parquet
from claims_pipeline.frames.csv_source import CsvSource
from claims_pipeline.frames.fixed_source import FixedSource
from claims_pipeline.frames.json_source import JsonSource
from claims_pipeline.frames.parquet_source import ParquetSource
from claims_pipeline.frames.raw import Source
from claims_pipeline.frames.spool import spooled
from claims_pipeline.frames.stream import Compression, Stream, Watched


@contextlib.contextmanager
def opened(
    source: BinaryIO,
    *,
    written: Format,
    compression: Compression | None,
    batch_bytes: int,
) -> Iterator[Source]:
    """Read the header of a dump; the rows can be read within the block.

    Args:
        source: the dump's bytes at their start. Need not be seekable; Parquet and JSON Lines use it if it is, and
            else hold what they need, see `spool`.
        written: how the dump is written.
        compression: of the whole file; None for none. Parquet compresses by itself.
        batch_bytes: bytes of data handled at once, about.

    Raises:
        BadDump: dump.unreadable.
    """
    match written:
        case Csv():
            yield CsvSource(source, compression=compression, dialect=written, batch_bytes=batch_bytes)
        case FixedWidth():
            yield FixedSource(Stream(source, compression), written=written, batch_bytes=batch_bytes)
        case Parquet():
            with _random_access(source, compression) as file:
                yield ParquetSource(file, batch_bytes=batch_bytes)
        case JsonLines():
            with _random_access(source, compression) as file:
                yield JsonSource(file, batch_bytes=batch_bytes)


@contextlib.contextmanager
def _random_access(source: BinaryIO, compression: Compression | None) -> Iterator[Watched]:
    if compression is None and Watched(source).seekable():
        yield Watched(source)
    else:
        with spooled(Stream(source, compression)) as file:
            yield Watched(file)
