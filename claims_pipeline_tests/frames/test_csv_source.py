"""What CSV holds arrives as written: texts, NULLs, row numbers, whatever the bytes and the size of blocks."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Csv
from claims_pipeline.frames.csv_source import MAX_ROW, CsvSource
from claims_pipeline.frames.stream import Compression

from .samples import relaxed

Cell = str | None


def read(
    dump: bytes,
    *,
    compression: Compression | None = None,
    dialect: Csv = Csv(),  # noqa: B008 - frozen
    batch_bytes: int = 1 << 16,
) -> tuple[tuple[str, ...], dict[int, list[Cell]], dict[int, str]]:
    """Header, rows by number, ragged rows by number; cells with their bytes decoded."""
    source = CsvSource(
        io.BytesIO(dump),
        compression=compression,
        dialect=dialect,
        batch_bytes=batch_bytes,
    )
    rows: dict[int, list[Cell]] = {}
    ragged: dict[int, str] = {}
    for batch in source.batches():
        cells = [column.to_pylist() for column in batch.columns]
        for i, number in enumerate(batch.numbers.tolist()):
            assert number not in rows
            rows[number] = [clear(c[i]) for c in cells]
        for row in batch.ragged:
            assert row.number not in ragged
            ragged[row.number] = row.line
    return source.header, rows, ragged


def clear(cell: str | bytes | None) -> Cell:
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell


def written(rows: list[list[str]], *, quoting: Literal[0, 1], line_end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=line_end).writerows(rows)
    return text.getvalue().encode()


nasty = st.text(st.sampled_from(list("ab\",;'\\N\n\r\t \u00e9\u4e2d\U0001f600=@")), max_size=6)
blocks = st.sampled_from([1, 7, 64, 1 << 16])


@relaxed
@given(st.lists(st.tuples(nasty, nasty, st.just("end")), max_size=30), st.sampled_from(["\n", "\r\n"]), blocks)
def test_all_quoted_text_comes_back_as_written(rows: list[tuple[str, ...]], line_end: str, block: int) -> None:
    dump = written([["a", "b", "c"], *map(list, rows)], quoting=csv.QUOTE_ALL, line_end=line_end)
    header, got, ragged = read(dump, batch_bytes=block)
    assert header == ("a", "b", "c")
    assert got == {i: list(row) for i, row in enumerate(rows, 1)}
    assert ragged == {}


@relaxed
@given(st.lists(st.tuples(nasty, nasty, st.just("end")), max_size=30), blocks)
def test_minimally_quoted_text_comes_back_with_bare_blanks_as_null(rows: list[tuple[str, ...]], block: int) -> None:
    dump = written([["a", "b", "c"], *map(list, rows)], quoting=csv.QUOTE_MINIMAL)
    _, got, _ = read(dump, batch_bytes=block)
    assert got == {i: [None if cell in {"", "\\N"} else cell for cell in row] for i, row in enumerate(rows, 1)}


def lines_where_rows_begin(dump: bytes, *, batch_bytes: int) -> dict[int, int | None]:
    source = CsvSource(io.BytesIO(dump), compression=None, dialect=Csv(), batch_bytes=batch_bytes)
    found: dict[int, int | None] = {}
    for batch in source.batches():
        for number in [*batch.numbers.tolist(), *(row.number for row in batch.ragged)]:
            found[number] = batch.line_of(number)
    return found


@relaxed
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(nasty, min_size=2, max_size=3)), max_size=20),
    st.integers(0, 2),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    blocks,
)
def test_lines_where_rows_begin_are_those_of_pythons_reader(
    rows: list[tuple[int, list[str]]], blank: int, line_end: str, is_ended: bool, block: int
) -> None:
    """Blank lines before header and rows, line ends within values, ragged rows, no line end at the end."""
    text = line_end * blank + "a,b" + line_end
    for blank_before, row in rows:
        text += line_end * blank_before + written([row], quoting=csv.QUOTE_ALL, line_end=line_end).decode()
    text = text if is_ended else text.removesuffix(line_end)
    reader = csv.reader(io.StringIO(text, newline=""))
    begins, before = [], 0
    for row in reader:
        if row:
            begins.append(before + 1)
        before = reader.line_num
    found = lines_where_rows_begin(text.encode(), batch_bytes=block)
    assert found == dict(enumerate(begins[1:], 1))


RAGGED_OR_NOT = [
    "1,x",
    "ragged",
    '1,"a\nb"',
    "a,b,c",
    '"q\r\n","""x"',
    "",
    "\xff",
    'stray",quote',
    "5'11\",a,b",
    '"x"y,z"z',
]


@relaxed
@given(st.lists(st.sampled_from(RAGGED_OR_NOT), max_size=60), blocks)
def test_rows_are_numbered_as_they_stand_in_the_dump(lines: list[str], block: int) -> None:
    dump = ("a,b\n" + "".join(line + "\n" for line in lines)).encode("latin-1")
    _, rows, ragged = read(dump, batch_bytes=block)
    counted = [line for line in lines if line]  # blank lines are no rows
    fitting = {"1,x", '1,"a\nb"', '"q\r\n","""x"', 'stray",quote', '"x"y,z"z'}
    assert set(rows) == {i for i, line in enumerate(counted, 1) if line in fitting}
    assert ragged == {i: clear(line.encode("latin-1")) for i, line in enumerate(counted, 1) if line not in fitting}


def outcome(body: str, batch_bytes: int) -> object:
    try:
        return read(b"a,b\n" + body.encode(), batch_bytes=batch_bytes)
    except BadDump as error:
        return str(error)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('a,"\n\r'), max_size=40), st.integers(1, 20))
@example('"\r\n"""\n,', 1)
@example('a\r\n"",""\r\r\n', 2)
def test_the_size_of_batches_changes_nothing_however_odd_the_quotes(body: str, batch_bytes: int) -> None:
    assert outcome(body, batch_bytes) == outcome(body, 1 << 16)


def test_quoted_nothing_is_text_and_bare_nothing_is_null() -> None:
    assert read(b'a,b,c,d\n"",,\\N,"\\N"\n')[1] == {1: ["", None, None, "\\N"]}


def test_words_for_nothing_are_words() -> None:
    assert read(b"a,b,c,d\nNA,null,None,nan\n")[1] == {1: ["NA", "null", "None", "nan"]}


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert read(b"\xef\xbb\xbfa,b\n1,2\n")[:2] == (("a", "b"), {1: ["1", "2"]})


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_is_read(end: bytes) -> None:
    assert read(end.join([b'"a\r\nz",b', b"1,2", b"3,4"]))[:2] == (("a\r\nz", "b"), {1: ["1", "2"], 2: ["3", "4"]})


def test_another_dialect_is_read() -> None:
    dialect = Csv(delimiter="|", quote="'", nulls=("NULL",))
    assert read(b"a|b|c\n'x|y'||NULL\n", dialect=dialect)[1] == {1: ["x|y", "", None]}


@pytest.mark.parametrize("dump", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_a_dump_of_nothing_has_no_header(dump: bytes) -> None:
    assert read(dump) == ((), {}, {})


@pytest.mark.parametrize("dump", [b"a,b", b"a,b\n", b"a,b\n\n\n"])
def test_a_header_alone_has_no_rows(dump: bytes) -> None:
    assert read(dump) == (("a", "b"), {}, {})


def test_gzip_of_several_members_is_one_dump() -> None:
    dump = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert read(dump, compression="gzip")[1] == {1: ["1", "2"], 2: ["3", "4"]}


ZIPPED = gzip.compress(written([["a", "b"], *([str(i), str(i * 7919)] for i in range(5000))], quoting=0), mtime=0)


@pytest.mark.parametrize(
    ("dump", "compression"),
    [
        (ZIPPED[:-9], "gzip"),
        (ZIPPED[:300], "gzip"),
        (ZIPPED[:2000] + b"\0" * 50 + ZIPPED[2050:], "gzip"),
        (b"a,b\n1,2\n", "gzip"),
        (ZIPPED, None),
        ("a,b\n1,2\n".encode("utf-16"), None),
        (b"\xe9t\xe9,b\n1,2\n", None),
        (b"a,\0b\n", None),
        (b'a,"b\n1,2\n', None),
        (b'a,b\n1,"2\n3,4\n', None),
        (b"x" * (2 << 20), None),
    ],
    ids=["cut", "cut early", "damaged", "no gzip", "gzip", "utf-16", "latin-1 header", "nul", "header unclosed",
         "unclosed", "one line"],
)  # fmt: skip
def test_what_is_no_csv_is_unreadable(dump: bytes, compression: Compression | None) -> None:
    with pytest.raises(BadDump) as caught:
        read(dump, compression=compression)
    assert caught.value.rule == "dump.unreadable"


def test_a_decompression_bomb_is_given_up() -> None:
    row = b"1," + b"x" * (1 << 16) + b"\n"
    bomb = gzip.compress(b"a,b\n") + gzip.compress(row * 256) * 20
    source = CsvSource(io.BytesIO(bomb), compression="gzip", dialect=Csv(), batch_bytes=1 << 20)
    with pytest.raises(BadDump, match="unpacks"):
        all(source.batches())


def test_a_row_longer_than_a_batch_is_read() -> None:
    assert read(b'a,b\n1,"' + b"x\n" * 5000 + b'"\n3,4\n', batch_bytes=100)[1] == {
        1: ["1", "x\n" * 5000],
        2: ["3", "4"],
    }


def test_a_row_without_end_is_given_up() -> None:
    source = CsvSource(
        io.BytesIO(b'a,b\n1,"' + b"x\n" * (MAX_ROW // 2 + 10_000_000)),
        compression=None,
        dialect=Csv(),
        batch_bytes=8 << 20,
    )
    with pytest.raises(BadDump, match="longer than"):
        all(source.batches())


def test_a_source_may_give_less_than_it_is_asked_for() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(3, size or 0))

    source = CsvSource(Trickle(b"a,b\n1,2\n3,4\n"), compression=None, dialect=Csv(), batch_bytes=100)
    assert [batch.numbers.tolist() for batch in source.batches()] == [[1, 2]]
