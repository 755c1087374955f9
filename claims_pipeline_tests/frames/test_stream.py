"""From stored bytes to text: compression, random access, encodings."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import tempfile
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import BadDump
from claims_pipeline.frames.spool import spooled
from claims_pipeline.frames.stream import Compression, Stream
from claims_pipeline.frames.text_stream import TextStream

from .samples import relaxed

PLAIN = b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(20_000))


def zstd(dump: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(dump).to_pybytes()
    return packed


PACKERS: dict[Compression, Any] = {"gzip": gzip.compress, "bz2": bz2.compress, "zstd": zstd}


def all_of(stream: Any, size: int = 1000) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("compression", PACKERS)
def test_several_members_are_one_stream(compression: Compression) -> None:
    packed = PACKERS[compression](PLAIN) + PACKERS[compression](b"end")
    assert all_of(Stream(io.BytesIO(packed), compression)) == PLAIN + b"end"


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("fault", ["cut", "damaged", "plain"])
def test_a_damaged_stream_is_unreadable(compression: Compression, fault: str) -> None:
    packed = PACKERS[compression](PLAIN)
    # Early, where every format keeps what it needs: zstd may come without checksums, and lets other damage through.
    damaged = packed[:12] + b"\xff" * 99 + packed[111:]
    dump = {"cut": packed[: len(packed) // 2], "damaged": damaged, "plain": PLAIN}[fault]
    with pytest.raises(BadDump) as caught:
        all_of(Stream(io.BytesIO(dump), compression))
    assert caught.value.rule == "dump.unreadable"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("compression", PACKERS)
def test_a_bomb_is_given_up(compression: Compression, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claims_pipeline.frames.stream.BOMB_BYTES", 1 << 20)
    with pytest.raises(BadDump, match="unpacks"):
        all_of(Stream(io.BytesIO(PACKERS[compression](bytes(8 << 20))), compression), 1 << 16)


@pytest.mark.parametrize("compression", [None, *PACKERS])
def test_trouble_of_the_source_stays_what_it_is(compression: Compression | None) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        Stream(Broken(), compression).read(10)  # type: ignore[arg-type]  # all that is read of it


@relaxed
@given(
    st.binary(max_size=300),
    st.sampled_from([0, 10, 1000]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=10),
)
def test_a_spool_reads_from_any_place(dump: bytes, memory: int, reads: list[tuple[int, int]]) -> None:
    with spooled(io.BytesIO(dump), memory=memory) as file:
        assert file.seek(0, os.SEEK_END) == len(dump)
        for at, size in reads:
            file.seek(at)
            assert file.read(size) == dump[at : at + size]


def test_a_spool_writes_nothing_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk = io.BytesIO()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: on_disk)
    with spooled(io.BytesIO(b"Canary" * 1000), memory=10) as file:
        assert file.read() == b"Canary" * 1000
        assert len(on_disk.getvalue()) == 6000
        assert b"Canary" not in on_disk.getvalue()


def test_a_short_spool_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tempfile, "TemporaryFile")
    with spooled(io.BytesIO(b"short")) as file:
        assert file.read() == b"short"


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]


@relaxed
@given(st.text(), st.sampled_from(ENCODINGS), st.sampled_from([4, 7, 1000]))
def test_every_encoding_comes_out_as_utf8(text: str, encoding: str, size: int) -> None:
    text = text.lstrip("\ufeff")
    stream = TextStream(io.BytesIO(text.encode(encoding)), encoding=encoding)
    assert all_of(stream, size).decode() == text


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_single_bytes_come_out_as_utf8(encoding: str) -> None:
    assert all_of(TextStream(io.BytesIO("caf\u00e9".encode(encoding)), encoding=encoding)).decode() == "caf\u00e9"


def test_utf16_without_a_mark_is_that_of_windows() -> None:
    assert all_of(TextStream(io.BytesIO("a\u0101".encode("utf-16-le")), encoding="utf-16")).decode() == "a\u0101"


@pytest.mark.parametrize(
    ("dump", "encoding"),
    [(b"a,\x81,b", "cp1252"), ("a,\ud800,b".encode("utf-16-le", "surrogatepass"), "utf-16"), (b"a,\xff,b", "ascii")],
)
def test_what_cannot_be_decoded_spoils_one_value(dump: bytes, encoding: str) -> None:
    first, bad, last = all_of(TextStream(io.BytesIO(dump), encoding=encoding)).split(b",")
    assert (first, last) == (b"a", b"b")
    with pytest.raises(UnicodeDecodeError):
        bad.decode()


@pytest.mark.parametrize(
    ("dump", "encoding"),
    [
        ("a,b".encode("utf-16"), "utf-8"),
        ("a,b".encode("utf-16"), "cp1252"),
        ("a,b".encode("utf-8-sig"), "latin-1"),
        ("\ufeffa,b".encode("utf-16-be"), "utf-16-le"),
        ("a,b".encode("utf-32"), "utf-16"),
        ("a,b".encode("utf-16-le")[:-1], "utf-16"),
    ],
)
def test_another_encoding_than_declared_is_refused(dump: bytes, encoding: str) -> None:
    with pytest.raises(BadDump) as caught:
        all_of(TextStream(io.BytesIO(dump), encoding=encoding))
    assert caught.value.rule == "dump.unreadable"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("size", range(1, 8))
def test_escapes_are_seen_across_parts(size: int) -> None:
    stream = TextStream(io.BytesIO(b'"a\\"b","c\\\\","\\N",\\N\\'), escape="\\")
    assert all_of(stream, size) == b'"a""b","c\\","\\N",\\N\\'
