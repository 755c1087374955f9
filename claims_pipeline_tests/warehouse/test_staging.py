"""What is sent into Postgres, and asking which rows to send."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import pyarrow
import pytest
from psycopg import sql

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.warehouse.ddl import create_changed, staged_columns
from claims_pipeline.warehouse.load import load_dump
from claims_pipeline.warehouse.merge import MergeContext
from claims_pipeline.warehouse.staging import Numbers, copy_into, copy_rows, stage, staged_numbers
from claims_pipeline_tests.fix_warehouse import (
    FINDINGS,
    READINGS,
    SAMPLES,
    VISITS,
    InMemory,
    Lab,
    Row,
    batch_of,
    sample,
)

MOMENT = dt.datetime(2026, 5, 1, 5, 0, 0, 123456, tzinfo=dt.UTC)


def test_only_what_rows_are_judged_by_is_staged(lab: Lab) -> None:
    assert staged_columns(SAMPLES) == ("sample_id", "changed", "badge", "shelf")
    assert staged_columns(VISITS) == ("visit_id",)
    with lab.connection.transaction():
        assert stage(lab.connection, SAMPLES, InMemory([batch_of(SAMPLES, [sample(1), sample(2)])])).rows == 2
        found = lab.connection.execute("select * from stage order by 1").fetchall()
    assert [row[:-1] for row in found] == [(1, 1, None, None, 1), (2, 1, None, None, 2)]


def test_staging_anew_forgets_what_was_staged(lab: Lab) -> None:
    with lab.connection.transaction():
        stage(lab.connection, VISITS, InMemory([batch_of(VISITS, [(1, "a", 0)])]))
        stage(lab.connection, READINGS, InMemory([batch_of(READINGS, [(7, 1, "a")])]))
        assert lab.connection.execute("select reading_id from stage").fetchall() == [(7,)]


def test_a_dump_without_rows_stages_none(lab: Lab) -> None:
    with lab.connection.transaction():
        assert stage(lab.connection, VISITS, InMemory([])).rows == 0


@pytest.mark.parametrize(
    ("keys", "ascending"),
    [
        ([[1, 2], [3, 7]], True),
        ([[1, 1]], False),
        ([[1, 2], [2, 3]], False),
        ([[2, 1]], False),
        ([[5, 6], [], [4]], False),
        ([[], [4], []], True),
    ],
)
def test_keys_that_ascend_are_noticed_across_batches(lab: Lab, keys: list[list[int]], ascending: bool) -> None:
    batches = [batch_of(VISITS, [(key, "a", 0) for key in part]) for part in keys]
    with lab.connection.transaction():
        assert stage(lab.connection, VISITS, InMemory(batches)).ascending is ascending


def test_of_keys_of_several_columns_nobody_looks_at_the_order(lab: Lab) -> None:
    with lab.connection.transaction():
        assert not stage(lab.connection, FINDINGS, InMemory([batch_of(FINDINGS, [(1, 1, "a")])])).ascending


@pytest.mark.parametrize("count", [0, 1, 10, 30_000])
def test_the_numbers_of_staged_rows_are_told_whatever_their_number(lab: Lab, count: int) -> None:
    with lab.connection.transaction():
        rows = [(number, "a", 0) for number in range(count)]
        stage(lab.connection, VISITS, InMemory([batch_of(VISITS, rows, first_number=5)]))
        numbers = staged_numbers(lab.connection, sql.SQL("s.visit_id % 3 = 0"))
    assert numbers.nonzero()[0].tolist() == [number + 5 for number in range(count) if number % 3 == 0]


def test_constants_are_the_same_in_every_row(lab: Lab) -> None:
    context = MergeContext(7, MOMENT, 8, MOMENT + dt.timedelta(days=1))
    rows = InMemory([batch_of(VISITS, [(1, "a", 0)]), batch_of(VISITS, [(2, "b", 0), (3, "c", 0)], first_number=2)])
    with lab.connection.transaction(force_rollback=True):
        copied = copy_rows(lab.connection, sql.Identifier("lab", "visits"), rows, None, context.constants)
        found = lab.connection.execute(
            "select visit_id, _dump_id, _dump_stamp, _load_id, _loaded_at from lab.visits order by 1"
        ).fetchall()
    assert copied == 3
    assert found == [(number, 7, MOMENT, 8, MOMENT + dt.timedelta(days=1)) for number in (1, 2, 3)]


def test_only_rows_that_are_wanted_are_sent(lab: Lab) -> None:
    rows = InMemory([batch_of(VISITS, [(n, "a", 0) for n in range(1, 6)])])
    with lab.connection.transaction():
        stage(lab.connection, VISITS, rows)
        create_changed(lab.connection, VISITS)
        numbers = staged_numbers(lab.connection, sql.SQL("s.visit_id in (2, 5)"))
        copy_rows(lab.connection, sql.Identifier("changed"), rows, numbers)
        assert lab.connection.execute("select visit_id from changed order by 1").fetchall() == [(2,), (5,)]


def test_an_error_while_rows_are_read_ends_the_copy(lab: Lab) -> None:
    def batches() -> Iterator[pyarrow.RecordBatch]:
        yield batch_of(VISITS, [(1, "a", 0)])
        raise LookupError

    with pytest.raises(LookupError):
        copy_into(lab.connection, sql.Identifier("lab", "visits"), batches())
    assert lab.connection.execute("select 1").fetchall() == [(1,)]


class Forgetful(InMemory):
    """Rows of which one is missing when they are read whole."""

    def batches(
        self, columns: Sequence[str] | None = None, numbers: Numbers | None = None
    ) -> Iterator[pyarrow.RecordBatch]:
        """See `staging.Rows`."""
        for batch in super().batches(columns, numbers):
            yield batch if columns is not None else batch.slice(1)


@pytest.mark.parametrize("before", [[], [(1, "old", 0), (2, "old", 0)]])
def test_a_load_that_reads_other_rows_than_it_judged_writes_nothing(lab: Lab, before: list[Row]) -> None:
    if before:
        lab.load(VISITS, lab.dump(VISITS), before)
    dump = lab.dump(VISITS, hour=1)
    with pytest.raises(ClaimsPipelineError, match="judged"):
        load_dump(
            lab.connection,
            VISITS,
            dump,
            rows=Forgetful([batch_of(VISITS, [(1, "new", 0), (2, "new", 0)])]),
            rejects=(),
            read=2,
            filtered=0,
            seal=lab.sealer(VISITS),
            frames=lab.frames_of,
            run_id="test",
        )
    assert lab.table(VISITS) == before
    assert lab.history(VISITS) == []
