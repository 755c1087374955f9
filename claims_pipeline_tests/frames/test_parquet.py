"""Parquet as senders really write it: drifting types, doubled names, files that are none."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Parquet
from claims_pipeline.frames import physical, validate_dump

from .samples import CHECKUPS, DAY, KEYS, STAMP, Outcome, deliver, naive, opened

FEED = dataclasses.replace(CHECKUPS, format=Parquet())


def parquet(names: list[str], columns: list[pa.Array], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns, names=names), file, **options)
    return file.getvalue()


def of(**columns: pa.Array) -> Outcome:
    """A dump of some columns, with keys from 1."""
    rows = len(next(iter(columns.values())))
    given = {"checkup_id": pa.array(range(1, rows + 1)), **columns}
    return deliver(parquet(list(given), list(given.values())), feed=FEED)


def told(outcome: Outcome, column: str) -> list[Any]:
    """What became of a column, row by row: the stored value, or the rules that its row broke."""
    stored = {row["_row_number"]: row[column] for row in outcome.rows}
    return [stored.get(i, outcome.rules.get(i)) for i in range(1, outcome.validation.read + 1)]


NAN, INF = float("nan"), float("inf")
BAD_STEPS, BAD_WEIGHT = ["steps.cast"], ["weight.cast"]


def test_whole_doubles_are_integers_and_others_are_bad() -> None:
    values = pa.array([123.0, 123.5, NAN, INF, None, -0.0, 99999.0, 3e9])
    assert told(of(steps=values), "steps") == [123, BAD_STEPS, None, BAD_STEPS, None, 0, None, BAD_STEPS]


def test_a_double_beyond_exact_integers_is_bad_and_not_rounded() -> None:
    ids = pa.array([2.0**53 - 1, 2.0**53, 1e18, -(2.0**53)])
    outcome = deliver(parquet(["checkup_id"], [ids]), feed=FEED)
    assert [row["checkup_id"] for row in outcome.rows] == [2**53 - 1]
    assert outcome.rules == {i: ["checkup_id.cast"] for i in (2, 3, 4)}
    assert told(of(remark=ids), "remark") == ["9007199254740991", *[["remark.cast"]] * 3]


def test_single_precision_is_trusted_less() -> None:
    values = pa.array([16777215.0, 16777216.0], pa.float32())
    assert told(of(steps=values), "steps") == [16777215, BAD_STEPS]
    assert told(of(weight=pa.array([0.1, 18.5], pa.float32())), "weight") == [Decimal("0.10"), Decimal("18.50")]


def test_money_is_exact_to_its_scale_or_bad() -> None:
    doubles = pa.array([18.5, 0.1, 18.505, 0.1 + 0.2, 1e10, 1e-7, -1.0])
    expected = [Decimal("18.50"), Decimal("0.10"), *[BAD_WEIGHT] * 4, None]
    assert told(of(weight=doubles), "weight") == expected
    decimals = pa.array(
        [Decimal("18.5"), Decimal("18.505"), Decimal(10) ** 12, Decimal("-1.000"), Decimal(0)], pa.decimal128(38, 18)
    )
    assert told(of(weight=decimals), "weight") == [Decimal("18.50"), BAD_WEIGHT, BAD_WEIGHT, None, Decimal(0)]


def test_numbers_where_text_is_due_are_written_canonically() -> None:
    assert told(of(remark=pa.array([12, None])), "remark") == ["12", None]
    assert told(of(remark=pa.array([12.0, 12.5, 1e15, 1e-7])), "remark") == [
        "12",
        "12.5",
        "1000000000000000",
        "0.0000001",
    ]
    assert told(of(remark=pa.array([Decimal("12.00"), Decimal("0E-4")], pa.decimal128(9, 4))), "remark") == ["12", "0"]
    assert told(of(remark=pa.array([True])), "remark") == ["true"]
    assert told(of(remark=pa.array([naive("2025-01-02 03:04:05.500000")])), "remark") == ["2025-01-02 03:04:05.5"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 0, None, 9, 2]),
        pa.array([1.0, 0.0, None, 9.0, 2.0]),
        pa.array(["T", "false", "", " 9 ", "2"]),
    ],
)
def test_booleans_may_be_numbers_or_words(values: pa.Array) -> None:
    assert told(of(smokes=values), "smokes") == [True, False, None, None, ["smokes.cast"]]


def test_a_column_without_a_type_is_null() -> None:
    outcome = of(steps=pa.nulls(2), at=pa.nulls(2), letters=pa.nulls(2), number=pa.nulls(2))
    assert [row["at_local"] for row in outcome.rows] == [None, None]
    assert outcome.validation.types["steps"] == "null"


def test_a_required_column_without_a_type_costs_its_rows() -> None:
    outcome = deliver(parquet(["checkup_id"], [pa.nulls(2)]), feed=FEED)
    assert outcome.rules == {1: ["checkup_id.required"], 2: ["checkup_id.required"]}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_naive_time_stamps_are_the_senders_local_time(unit: str) -> None:
    (row,) = of(at=pa.array([naive("2025-07-01 00:00")], pa.timestamp(unit))).rows
    assert row["at"] == dt.datetime(2025, 6, 30, 12, 0, tzinfo=dt.UTC)
    assert row["at_local"] == naive("2025-07-01 00:00")


@pytest.mark.parametrize("zone", ["UTC", "+05:00", "Pacific/Auckland"])
def test_zoned_time_stamps_are_moments(zone: str) -> None:
    moment = dt.datetime(2025, 6, 30, 12, 0, tzinfo=dt.UTC)
    (row,) = of(at=pa.array([moment], pa.timestamp("ms", zone))).rows
    assert (row["at"], row["at_local"]) == (moment, naive("2025-07-01 00:00"))


AMBIGUOUS, NEVER = naive("2025-04-06 02:30"), naive("2025-09-28 02:30")


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.string()], ids=str)
def test_changes_of_clocks_are_settled_and_the_local_time_is_kept(kind: pa.DataType) -> None:
    rows = of(at=pa.array([AMBIGUOUS, AMBIGUOUS, NEVER], pa.timestamp("us")).cast(kind)).rows
    first = dt.datetime(2025, 4, 5, 13, 30, tzinfo=dt.UTC)
    assert [row["at"] for row in rows] == [first, first, dt.datetime(2025, 9, 27, 14, 0, tzinfo=dt.UTC)]
    assert [row["at_local"] for row in rows] == [AMBIGUOUS, AMBIGUOUS, NEVER]


def test_the_second_of_two_local_times_is_told_by_its_zone() -> None:
    (row,) = of(at=pa.array(["2025-04-06 02:30:00+12:00"])).rows
    assert (row["at"], row["at_local"]) == (dt.datetime(2025, 4, 5, 14, 30, tzinfo=dt.UTC), AMBIGUOUS)


def test_a_time_beyond_the_calendar_is_bad() -> None:
    far = pa.array([2**62, -(2**62), 0]).cast(pa.timestamp("ms"))
    assert told(of(at=far), "at") == [["at.cast"], ["at.cast"], dt.datetime(1969, 12, 31, 12, tzinfo=dt.UTC)]
    assert told(of(remark=far), "remark") == [["remark.cast"], ["remark.cast"], "1970-01-01 00:00:00"]
    assert told(of(born=pa.array([10**8, 0], pa.int32()).cast(pa.date32())), "born_year") == [["born.cast"], 1970]


def test_a_date_may_be_a_midnight_of_the_sender_or_of_utc_and_no_other_time() -> None:
    times = [naive("1980-05-03 00:00"), naive("1980-05-03 10:00"), naive("1900-01-01 00:00")]
    assert told(of(born=pa.array(times)), "born_year") == [1980, ["born.cast"], None]
    zoned = [
        dt.datetime(1979, 12, 31, 11, tzinfo=dt.UTC),
        dt.datetime(1980, 1, 1, tzinfo=dt.UTC),
        STAMP.replace(minute=1),
    ]
    assert told(of(born=pa.array(zoned)), "born_year") == [1980, 1980, ["born.cast"]]
    texts = ["1980-05-03", "1980-05-03 00:00:00.000", "1980-05-03 10:00:00", "unknown", "1980-02-30 00:00:00"]
    assert told(of(born=pa.array(texts)), "born_year") == [1980, 1980, ["born.cast"], None, ["born.cast"]]


def test_lists_hold_text_of_whatever_they_hold() -> None:
    assert told(of(letters=pa.array([[1, None], [], None])), "letters") == [["1", None], [], None]
    assert told(of(letters=pa.array([["e\u0304"], ["a\0"], ["b"]])), "letters") == [["\u0113"], ["letters.cast"], ["b"]]
    assert told(of(letters=pa.array([[1e300], [2.0]])), "letters") == [["letters.cast"], ["2"]]


def test_text_is_composed_and_bad_bytes_cost_one_row() -> None:
    assert told(of(remark=pa.array([b"e\xcc\x84", b"\xff", b"a\0", b"n/a"])), "remark") == [
        "\u0113",
        ["remark.encoding"],
        ["remark.nul"],
        None,
    ]


def test_a_struct_where_text_is_due_is_json() -> None:
    assert told(of(remark=pa.array([{"a": 1, "b": ["x"]}, None])), "remark") == ['{"a": 1, "b": ["x"]}', None]


def test_types_are_told_by_contract_column() -> None:
    outcome = of(
        steps=pa.array([1.0]),
        born=pa.array(["x"]).dictionary_encode(),
        hidden=pa.array([{"Jane": 1}]),
        other=pa.array([1]),
    )
    assert outcome.validation.types == {"checkup_id": "int64", "steps": "double", "born": "string", "hidden": "struct"}
    assert outcome.validation.columns_seen == ("checkup_id", "steps", "born", "hidden", "other")


def test_a_column_delivered_twice_with_one_content_is_read_once() -> None:
    once, same = pa.array([1, None]), pa.array([1.0, None])
    outcome = deliver(parquet(["steps", "checkup_id", "steps"], [once, pa.array([1, 2]), same]), feed=FEED)
    assert [row["steps"] for row in outcome.rows] == [1, None]


def test_a_column_delivered_twice_with_two_contents_refuses_the_dump() -> None:
    dump = parquet(["checkup_id", "steps", "steps"], [pa.array([1, 2]), pa.array([1, 2]), pa.array([1, 3])])
    with pytest.raises(BadDump, match="steps is delivered more than once") as caught:
        deliver(dump, feed=FEED)
    assert caught.value.rule == "contract.duplicate_column"


def test_dropped_and_unknown_columns_may_come_twice_with_any_content() -> None:
    one, two = pa.array(["a"]), pa.array(["b"])
    names = ["checkup_id", "hidden", "hidden", "shoe", "shoe"]
    outcome = deliver(parquet(names, [pa.array([1]), one, two, one, two]), feed=FEED)
    assert outcome.validation.kept == 1


def test_a_reject_holds_its_row_in_canonical_text() -> None:
    outcome = of(steps=pa.array([1.5]), at=pa.array([naive("2025-01-01 00:00")]), letters=pa.array([["a"]]),
                 number=pa.array([b"\xff"]), weight=pa.array([INF]))  # fmt: skip
    assert json.loads(opened(outcome.rejects[0], FEED)) == {
        "checkup_id": "1", "steps": "1.5", "at": "2025-01-01 00:00:00", "letters": '["a"]', "number": "\udcff",
        "weight": "inf",
    }  # fmt: skip


def test_rows_are_numbered_across_row_groups_and_batches() -> None:
    ids = pa.array(range(1, 1001))
    steps = pa.array([1.5 if i % 100 == 0 else 1.0 for i in range(1, 1001)])
    dump = parquet(["checkup_id", "steps"], [ids, steps], row_group_size=70)
    outcome = deliver(dump, feed=FEED, batch_bytes=500)
    assert sorted(outcome.rules) == list(range(100, 1001, 100))
    assert all(row["_row_number"] == row["checkup_id"] for row in outcome.rows)


@pytest.mark.parametrize(
    "dump", [b"", parquet(["checkup_id"], [pa.array([], pa.int64())]), parquet(["checkup_id"], [pa.nulls(0)])]
)
def test_a_dump_without_rows_makes_two_empty_files(dump: bytes) -> None:
    outcome = deliver(dump, feed=FEED)
    assert outcome.validation.read == 0
    assert outcome.rows == outcome.rejects == []


WHOLE = parquet(
    ["checkup_id", "remark"],
    [pa.array(range(5000)), pa.array(["Canary"] * 5000)],
    use_dictionary=False,
    compression="none",
)


@pytest.mark.parametrize(
    ("dump", "says"),
    [
        (WHOLE[:-10], "cut off"),
        (b"PAR1", "footer"),
        (b"Canary,b\n1,2\n", "no Parquet"),
        (b"PARE" + WHOLE[4:-4] + b"PARE", "encrypted"),
        (WHOLE[:-40] + b"\xff" * 30 + WHOLE[-10:], "footer is damaged"),
        (WHOLE[:4] + b"\xff" * 40 + WHOLE[44:], "data is damaged"),
        (parquet(["born"], [pa.array(["Canary"])]), "lacks checkup_id"),
    ],
    ids=["cut", "a mark alone", "csv", "encrypted", "footer", "page", "no key"],
)
def test_what_cannot_be_read_is_refused_without_a_word_of_it(dump: bytes, says: str) -> None:
    with pytest.raises(BadDump, match=says) as caught:
        deliver(dump, feed=FEED)
    assert "Canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_footer_that_promises_too_much_is_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claims_pipeline.frames.parquet_source.BOMB_BYTES", 1 << 20)
    dump = parquet(["checkup_id", "remark"], [pa.array([1]), pa.array(["x" * (4 << 20)])], compression="zstd")
    with pytest.raises(BadDump, match="unpacks"):
        deliver(dump, feed=FEED)


class OneWay(io.RawIOBase):
    """A stream that cannot seek, as S3 gives it."""

    def __init__(self, dump: bytes, *, fails: bool = False) -> None:
        self._dump = io.BytesIO(dump)
        self._fails = fails

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._fails:
            raise ConnectionResetError
        part = self._dump.read(min(len(buffer), 1000))
        buffer[: len(part)] = part
        return len(part)


class Hesitant(io.BytesIO):
    """A file that gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 700))


def through(source: Any, folder: Any) -> int:
    return validate_dump(
        source, feed=FEED, compression=None, stamp=STAMP, delivery_day=DAY, keys=KEYS,
        rows_file=folder / "rows", rejects_file=folder / "rejects",
    ).read  # fmt: skip


def test_a_stream_that_cannot_seek_is_read(tmp_path: Any) -> None:
    assert through(OneWay(WHOLE), tmp_path) == 5000


def test_a_file_that_hesitates_is_read(tmp_path: Any) -> None:
    assert through(Hesitant(WHOLE), tmp_path) == 5000


def test_trouble_of_the_network_is_not_the_dumps(tmp_path: Any) -> None:
    with pytest.raises(ConnectionResetError):
        through(OneWay(WHOLE, fails=True), tmp_path)


def test_money_in_doubles_loses_the_noise_of_arithmetic_and_no_digit() -> None:
    doubles = pa.array([18.5, 0.1 + 0.2, -36.88, 1.005, float("nan"), None, 1e15])
    typed, bad = physical.direct(doubles, pa.decimal128(12, 2), timezone="UTC") or (None, None)
    assert typed is not None
    assert bad is not None
    money = [Decimal("18.50"), Decimal("0.30"), Decimal("-36.88")]
    assert typed.to_pylist() == [*money, None, None, None, None]
    assert bad.tolist() == [False, False, False, True, False, False, True]
