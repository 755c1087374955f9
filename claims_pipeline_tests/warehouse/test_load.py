"""One dump, one transaction: all of it or nothing, whatever breaks, whoever else loads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pyarrow
import pytest

from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text
from claims_pipeline.local.process import wait_until
from claims_pipeline.vocabulary import DumpStatus, RowCounts
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.apart import QUARANTINE_SCHEMA
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.load import Loaded
from claims_pipeline_tests.fix_proxy import Proxy
from claims_pipeline_tests.fix_warehouse import FINDINGS, SAMPLES, VISITS, Lab, Row, batch_of, sample

CANARY = "canary-of-a-row"
OLD = [sample(1, content="old"), sample(2, badge=7)]
NEW: list[Row] = [sample(1, 2, "new"), sample(3, 2, badge=7), sample(4, 2)]  # 3 claims what belongs to 2
READ = len(NEW) + 1  # one was set apart by the frames


class BrokenError(Exception):
    """What breaks in the middle of a load."""


def rejected(*numbers: int) -> pyarrow.RecordBatch:
    rows = [
        {"row_number": n, "columns": ["content"], "rules": ["content.nul"], "key_version": "v1", "sealed": b"-"}
        for n in numbers
    ]
    return pyarrow.RecordBatch.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def state(lab: Lab) -> list[Any]:
    """Everything that a load can change."""
    tables = ("lab.samples", 'history."lab__samples"', "lab.findings", "ops.load", "ops.quarantine", "ops.dump")
    return [lab.connection.execute(f"select * from {table} t order by t::text".encode()).fetchall() for table in tables]


@pytest.fixture
def old_lab(lab: Lab) -> Lab:
    """A laboratory with something in it: rows that will be updated and claimed, and a set that will be emptied."""
    lab.load(SAMPLES, lab.dump(SAMPLES), OLD)
    lab.load(FINDINGS, lab.dump(FINDINGS), [(4, 1, "a")])
    return lab


def half_of(rows: list[Row]) -> Iterator[pyarrow.RecordBatch]:
    yield batch_of(SAMPLES, rows[:1])
    raise BrokenError


def refusing_seal(_number: int, _content: bytes) -> tuple[str, bytes]:
    raise BrokenError


def breaking_rejects() -> Iterator[pyarrow.RecordBatch]:
    yield rejected(4)
    raise BrokenError


BREAKS: dict[str, Callable[[], dict[str, Any]]] = {
    "rows": lambda: {"batches": half_of(NEW)},
    "rejects": lambda: {"rejects": breaking_rejects()},
    "seal": lambda: {"seal": refusing_seal},
    "conservation": lambda: {"read": READ + 1},
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_load_that_breaks_leaves_nothing(old_lab: Lab, broken: str) -> None:
    dump = old_lab.dump(SAMPLES, hour=1)
    before = state(old_lab)
    whole: dict[str, Any] = {"batches": [batch_of(SAMPLES, NEW)], "rejects": [rejected(4)], "read": READ}
    with pytest.raises((BrokenError, ClaimsPipelineError)):
        old_lab.load_batches(SAMPLES, dump, **(whole | BREAKS[broken]()))
    assert state(old_lab) == before


@pytest.mark.parametrize("broken", BREAKS)
def test_the_retry_of_a_broken_load_does_all(old_lab: Lab, broken: str) -> None:
    dump = old_lab.dump(SAMPLES, hour=1)
    whole: dict[str, Any] = {"batches": [batch_of(SAMPLES, NEW)], "rejects": [rejected(4)], "read": READ}
    with pytest.raises((BrokenError, ClaimsPipelineError)):
        old_lab.load_batches(SAMPLES, dump, **(whole | BREAKS[broken]()))
    loaded = old_lab.load_batches(SAMPLES, dump, **whole)
    assert loaded.rows == RowCounts(read=4, inserted=1, updated=1, quarantined=2)
    assert ledger.get(old_lab.connection, dump.dump_id).status is DumpStatus.LOADED


def terminated_in_copy(lab: Lab, victim: psycopg.Connection) -> Iterator[pyarrow.RecordBatch]:
    pid = victim.info.backend_pid
    yield batch_of(SAMPLES, NEW[:1])
    lab.connection.execute("select pg_terminate_backend(%s, 60000)", [pid])
    many = [sample(key, 2, "x" * 100) for key in range(10, 20_000)]  # more than buffers between client and server hold
    yield batch_of(SAMPLES, many, first_number=2)


def test_a_backend_that_is_terminated_during_copy_leaves_nothing_and_may_be_tried_again(old_lab: Lab) -> None:
    dump = old_lab.dump(SAMPLES, hour=1)
    before = state(old_lab)
    with pytest.raises(Transient), connect(old_lab.url) as victim:
        old_lab.load_batches(SAMPLES, dump, terminated_in_copy(old_lab, victim), read=1, connection=victim)
    assert state(old_lab) == before
    assert old_lab.load(SAMPLES, dump, NEW).rows.conserved


def test_a_network_that_breaks_during_copy_leaves_nothing(old_lab: Lab, proxy_to: Callable[[str], Proxy]) -> None:
    dump = old_lab.dump(SAMPLES, hour=1)
    before = state(old_lab)
    proxy = proxy_to(old_lab.url)

    def batches() -> Iterator[pyarrow.RecordBatch]:
        yield batch_of(SAMPLES, NEW[:1])
        proxy.refuse()
        for place in range(50):
            rows = [sample(key, 2, "x" * 100) for key in range(place * 1000, place * 1000 + 1000)]
            yield batch_of(SAMPLES, rows, first_number=2 + place * 1000)

    with pytest.raises(Transient), connect(proxy.in_place_of(old_lab.url)) as connection:
        old_lab.load_batches(SAMPLES, dump, batches(), read=1, connection=connection)
    assert state(old_lab) == before


def test_a_database_that_is_not_there_may_be_tried_again(lab: Lab, proxy_to: Callable[[str], Proxy]) -> None:
    proxy = proxy_to(lab.url)
    proxy.refuse()
    with pytest.raises(Transient), connect(proxy.in_place_of(lab.url)):
        pass


def test_an_error_of_postgres_is_told_without_the_row(lab: Lab) -> None:
    nameless = (1, None, 0, None, None, CANARY)  # the frames would not let it pass: its version is missing
    with pytest.raises(psycopg.errors.NotNullViolation) as caught:
        lab.load(SAMPLES, lab.dump(SAMPLES), [nameless])
    assert CANARY in str(caught.value)
    assert CANARY not in safe_text(caught.value)


def test_of_two_loads_of_one_dump_at_once_the_second_finds_it_loaded(lab: Lab) -> None:
    dump = lab.dump(SAMPLES)
    in_copy = threading.Event()

    def until_the_other_waits() -> Iterator[pyarrow.RecordBatch]:
        yield batch_of(SAMPLES, NEW)
        in_copy.set()
        waiting = (
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
            " where d.datname = current_database() and l.locktype = 'advisory' and not l.granted"
        )
        assert wait_until(lambda: lab.count(waiting) > 0, seconds=60)

    def load(batches: Iterator[pyarrow.RecordBatch]) -> Loaded | None:
        with connect(lab.url) as connection:
            return lab.offer_batches(SAMPLES, dump, batches, read=len(NEW), connection=connection)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(load, until_the_other_waits())
        assert in_copy.wait(60)
        second = threads.submit(load, iter([batch_of(SAMPLES, NEW)]))
        loaded = first.result()
        assert loaded is not None
        assert loaded.rows == RowCounts(read=3, inserted=3)
        assert second.result() is None
    assert lab.history(SAMPLES) == []


# ------------------------------------------------------------------------------------------ what is written beside


def audit(lab: Lab) -> list[tuple[Any, ...]]:
    return lab.connection.execute(
        "select kind, feed, rows_read, rows_deleted from ops.load order by load_id"
    ).fetchall()


def test_every_load_is_in_the_audit_with_its_kind(old_lab: Lab) -> None:
    dump = old_lab.dump(SAMPLES, hour=1)
    for _ in range(2):
        old_lab.load(SAMPLES, dump, [sample(4, 2, findings=0)])
    assert audit(old_lab)[2:] == [
        ("load", "lab/samples", 1, 0),
        ("cascade", "lab/findings", 0, 1),
        ("reload", "lab/samples", 1, 0),
    ]


def test_a_reload_resolves_rows_that_are_no_longer_set_apart(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    lab.load_batches(VISITS, dump, [batch_of(VISITS, [(1, "a", 0)])], read=3, rejects=[rejected(2, 3)])
    rows: list[Row] = [(1, "a", 0), (2, "b", 0)]
    lab.load_batches(VISITS, dump, [batch_of(VISITS, rows)], read=3, rejects=[rejected(3)])
    open_ = lab.connection.execute("select row_number, resolved_at is null from ops.quarantine order by 1").fetchall()
    assert open_ == [(2, False), (3, True)]


def test_a_row_set_apart_again_is_open_again(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    for numbers in ([2], [], [2]):
        lab.load_batches(VISITS, dump, [], read=len(numbers), rejects=[rejected(*numbers)])
    assert lab.count("select count(*) from ops.quarantine where resolved_at is null") == 1


def test_rejects_of_frames_that_know_no_lines_are_kept(lab: Lab) -> None:
    lab.load_batches(VISITS, lab.dump(VISITS), [], read=1, rejects=[rejected(1).drop_columns(["line"])])
    assert lab.connection.execute("select row_number, line from ops.quarantine").fetchall() == [(1, None)]


def test_rows_left_out_are_counted(lab: Lab) -> None:
    loaded = lab.load_batches(VISITS, lab.dump(VISITS), [batch_of(VISITS, [(1, "a", 0)])], read=3, filtered=2)
    assert loaded.rows == RowCounts(read=3, inserted=1, filtered=2)


def test_a_dump_of_rejects_alone_is_loaded(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    assert lab.load_batches(VISITS, dump, [], read=1, rejects=[rejected(1)]).rows.quarantined == 1
    assert ledger.get(lab.connection, dump.dump_id).status is DumpStatus.LOADED


@pytest.mark.parametrize("change", ["update ops.load set run_id = 'other'", "delete from ops.load"])
def test_the_audit_cannot_be_changed_even_by_the_owner(old_lab: Lab, lab_url: str, change: str) -> None:
    before = audit(old_lab)
    with connect(lab_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        owner.execute(change.encode())
    assert audit(old_lab) == before


def test_the_audit_takes_no_load_whose_rows_are_not_conserved(old_lab: Lab) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="rows_conserved"):
        old_lab.connection.execute(
            "insert into ops.load (kind, dump_id, feed, run_id, contract, started_at, rows_read, rows_inserted)"
            " select kind, dump_id, feed, run_id, contract, started_at, 2, 1 from ops.load limit 1"
        )
