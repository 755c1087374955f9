"""Row counts and control totals against what is read: trailers, exact sums, every format."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import BigInt, Csv, Feed, FeedModel, Format, Money, Parquet, Trailer, column
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames import Validation, validate_dump
from claims_pipeline_tests.frames.samples import CLINIC, DAY, KEYS, STAMP, relaxed


class Bills(FeedModel):
    """One row per bill."""

    bill: BigInt = column("Bill", key=True)
    fee: Money = column("Fee", aliases=["amount"])


BILLS = Feed(CLINIC, "bills", Bills, (r"^bills_(?P<stamp>\d{8})\.csv$",))
TRAILED = Csv(trailer=Trailer("END", totals=(("fee", 3),)))
ROWS = "bill,fee\n1,1.50\n2,-0.25\n3,\n"


def read(
    body: bytes | str, promises: Sequence[Promise] = (), *, written: Format | None = None, batch_bytes: int = 8 << 20
) -> Validation:
    """Read a dump of bills."""
    feed = dataclasses.replace(BILLS, format=written or Csv())
    with tempfile.TemporaryDirectory() as folder:
        return validate_dump(
            io.BytesIO(body.encode() if isinstance(body, str) else body),
            feed=feed,
            compression=None,
            stamp=STAMP,
            delivery_day=DAY,
            keys=KEYS,
            rows_file=Path(folder) / "rows",
            rejects_file=Path(folder) / "rejects",
            batch_bytes=batch_bytes,
            promises=promises,
        )


def total(value: str, name: str = "fee") -> list[Promise]:
    """A promise of one control total."""
    return [Promise("the manifest", totals={name: Decimal(value)})]


def refusal(body: bytes | str, promises: Sequence[Promise] = (), *, written: Format | None = None) -> tuple[str, str]:
    """Rule and message of a refusal."""
    with pytest.raises(BadDump) as refused:
        read(body, promises, written=written)
    return refused.value.rule, str(refused.value)


# ---------------------------------------------------------------------------------------------- totals


def test_a_total_is_the_sum_of_the_column_as_delivered() -> None:
    assert read(ROWS, total("1.25")).read == 3


def test_a_total_may_be_named_as_the_contract_names_the_column() -> None:
    assert read(ROWS.replace("fee", "amount"), total("1.25")).read == 3


def test_rows_that_are_rejected_count() -> None:
    assert read(ROWS + "x,1.00\n", [*total("2.25"), Promise("m", rows=4)]).quarantined == 1


def test_a_total_is_exact_where_doubles_are_not() -> None:
    assert read("bill,fee\n" + "".join(f"{n},0.1\n" for n in range(10)), total("1.0")).read == 10


def test_a_total_in_the_senders_spelling_is_understood() -> None:
    written = Csv(delimiter=";", decimal=",", thousands=".")
    assert read("bill;fee\n1;1.234,50\n2;0,50\n", total("1235"), written=written).read == 2


def test_a_wrong_total_is_refused_by_the_columns_name_alone() -> None:
    assert refusal(ROWS, total("1.26")) == (
        "dump.control_total",
        "clinic/bills: the sum of fee over 3 rows is not what the manifest promises",
    )


def test_values_that_are_no_numbers_are_counted() -> None:
    assert "1 values are no numbers" in refusal(ROWS + "4,canary\n", total("1.26"))[1]


def test_ragged_rows_are_counted() -> None:
    assert "1 rows have not the header's columns" in refusal(ROWS + "4\n", total("1.26"))[1]


def test_a_total_of_a_column_that_is_lacking_is_refused() -> None:
    assert refusal(ROWS, total("0", "weight"))[0] == "dump.control_total"


def test_a_name_that_may_be_a_value_is_not_quoted() -> None:
    assert "canary" not in refusal(ROWS, total("0", "canary@example.org"))[1]


def test_a_wrong_number_of_rows_is_refused() -> None:
    assert refusal(ROWS, [Promise("the manifest", rows=4)]) == (
        "dump.row_count",
        "clinic/bills: the manifest promises 4 rows, the dump has 3",
    )


def test_an_empty_dump_keeps_the_promise_of_nothing() -> None:
    assert read("", [Promise("m", rows=0), *total("0")]).read == 0


def test_totals_of_parquet_are_summed_in_its_own_types() -> None:
    body = io.BytesIO()
    fees = pa.array([Decimal("1.50"), Decimal("-0.25"), None], pa.decimal128(9, 2))
    pq.write_table(pa.table({"bill": [1, 2, 3], "fee": fees}), body)
    assert read(body.getvalue(), total("1.25"), written=Parquet()).read == 3


@relaxed
@given(st.lists(st.decimals(-(10**9), 10**9, places=2, allow_nan=False)), st.integers(1 << 6, 1 << 9))
def test_a_total_is_that_of_pythons_decimals_however_the_dump_is_cut(fees: list[Decimal], batch_bytes: int) -> None:
    body = "bill,fee\n" + "".join(f"{n},{fee:f}\n" for n, fee in enumerate(fees, 1))
    promised = [Promise("m", rows=len(fees), totals={"fee": sum(fees, Decimal(0))})]
    assert read(body, promised, batch_bytes=batch_bytes).read == len(fees)


# ---------------------------------------------------------------------------------------------- trailers


@pytest.mark.parametrize("batch_bytes", [8, 16, 8 << 20])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n"])
def test_a_trailer_is_found_wherever_the_dump_is_cut(end: str, batch_bytes: int) -> None:
    done = read(f"{ROWS}END,3,1.25{end}", written=TRAILED, batch_bytes=batch_bytes)
    assert (done.read, done.quarantined) == (3, 0)


def test_a_trailer_of_a_dump_without_rows_is_read() -> None:
    assert read("bill,fee\nEND,0,0\n", written=TRAILED).read == 0


def test_a_trailer_within_quotes_is_read() -> None:
    assert read(f'{ROWS}"END","3","1.25"\n', written=TRAILED).read == 3


def test_only_the_last_row_is_the_trailer() -> None:
    assert read(f"{ROWS}END,3,1.25\nEND,4,1.25\n", written=TRAILED).quarantined == 1


def test_a_row_after_a_quoted_line_end_is_no_trailer() -> None:
    assert refusal(f'{ROWS}4,"1\nEND,4,1"\n', written=TRAILED)[0] == "dump.unreadable"


@pytest.mark.parametrize("line", ["END", "END,three,1", "END,-3,1", "END,3", "END,3,canary"])
def test_a_trailer_of_another_form_is_unreadable_and_not_quoted(line: str) -> None:
    assert refusal(f"{ROWS}{line}\n", written=TRAILED) == (
        "dump.unreadable",
        "the trailer row has not the form that the contract declares",
    )


def test_a_dump_that_ends_without_its_trailer_was_cut_off() -> None:
    assert refusal(ROWS, written=TRAILED) == (
        "dump.unreadable",
        "the dump ends without its trailer row: it was cut off",
    )


def test_the_row_count_of_a_trailer_is_compared() -> None:
    assert refusal(f"{ROWS}END,2,1.25\n", written=TRAILED)[0] == "dump.row_count"


def test_the_control_total_of_a_trailer_is_compared() -> None:
    assert refusal(f"{ROWS}END,3,1.24\n", written=TRAILED)[0] == "dump.control_total"
