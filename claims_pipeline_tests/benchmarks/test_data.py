"""The benchmarks' data: the same for everybody, known before it is loaded, and what the contracts describe."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from claims_pipeline.feeds import Feed
from claims_pipeline_tests.benchmarks import feeds
from claims_pipeline_tests.benchmarks.data import Dump, Variant, expected_after, make_file, write_csv

ROWS = 2_000


def frame_of(variant: Variant, rows: int = ROWS, table: int | None = None) -> pd.DataFrame:
    frame: pd.DataFrame = pa.Table.from_batches(Dump(variant, rows, table=table).batches(block=700)).to_pandas()
    return frame.set_index("id", drop=False)


def csv_of(dump: Dump) -> bytes:
    file = io.BytesIO()
    write_csv(dump, file)
    return file.getvalue()


def test_the_same_dump_is_the_same_bytes() -> None:
    assert csv_of(Dump("first", ROWS)) == csv_of(Dump("first", ROWS))


def test_rows_do_not_depend_on_how_many_are_made_at_once() -> None:
    whole = pa.Table.from_batches(Dump("changed", ROWS).batches())
    assert pa.Table.from_batches(Dump("changed", ROWS).batches(block=333)).equals(whole)


def test_an_unchanged_dump_has_the_same_rows_in_another_order() -> None:
    first, unchanged = frame_of("first"), frame_of("unchanged")
    assert list(first.index) != list(unchanged.index)
    pd.testing.assert_frame_equal(unchanged.sort_index(), first)


def test_a_tenth_of_a_changed_dump_is_newer_and_the_rest_as_it_was() -> None:
    first, changed = frame_of("first"), frame_of("changed")
    newer = changed["updated_at"] > first["updated_at"]
    assert newer.sum() == ROWS // 10
    pd.testing.assert_frame_equal(changed[~newer], first[~newer])


def test_a_delta_is_half_updates_spread_over_the_table_and_half_new_rows() -> None:
    delta = frame_of("delta", table=10 * ROWS)
    old = delta[delta["id"] <= 10 * ROWS]
    assert (len(old), len(delta), delta["id"].is_unique) == (ROWS // 2, ROWS, True)
    assert old["id"].max() > 10 * ROWS * 0.99


def test_what_a_table_must_hold_is_what_keeping_the_newest_versions_gives() -> None:
    dumps = [Dump("first", ROWS), Dump("unchanged", ROWS), Dump("changed", ROWS), Dump("delta", ROWS)]
    rows = pd.concat([pa.Table.from_batches(dump.batches()).to_pandas() for dump in dumps])
    table = rows.sort_values("updated_at", kind="stable").drop_duplicates("id", keep="last")
    expected = expected_after(dumps)
    assert (expected.rows, expected.ids, expected.points) == (len(table), table["id"].sum(), table["points"].sum())


def test_csv_is_quoted_only_where_it_must_be() -> None:
    lines = csv_of(Dump("first", ROWS)).decode().splitlines()
    quoted = [line for line in lines if '"' in line]
    assert quoted
    assert all("," in field or '""' in field for line in quoted for field in [line[line.index('"') : line.rindex('"')]])


@pytest.mark.parametrize(("feed", "columns"), [(feeds.MEMBERS, 25), (feeds.WIDE, feeds.WIDE_COLUMNS)])
def test_a_contract_has_the_columns_and_types_of_the_data(feed: Feed, columns: int) -> None:
    schema = Dump("first", 1, columns).schema
    assert [(c.name, c.arrow) for c in feed.columns] == [(field.name, field.type) for field in schema]


def test_a_file_is_made_once(tmp_path: Path) -> None:
    made = make_file(Dump("first", 10), tmp_path, "csv")
    before = made.stat().st_mtime_ns
    assert make_file(Dump("first", 10), tmp_path, "csv").stat().st_mtime_ns == before
