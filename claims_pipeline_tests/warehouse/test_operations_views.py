"""Views of operations: a day is as its worst dump, what was repaired is not bad, and nothing but counts is in them."""

from __future__ import annotations

import pytest

from claims_pipeline.warehouse.bi.operations import OPERATIONS, ensure_operations
from claims_pipeline_tests.fix_warehouse import VISITS, Lab

COLUMNS_OF_COUNTS = {
    "feed_days": {"sender", "feed", "delivery_day", "dumps", "state", "verdicts"},
    "feed_status": {"sender", "feed"},
    "quarantine_by_rule": {"sender", "feed", "rule", "rows", "dumps", "latest"},
    "load_times": {"sender", "feed", "delivery_day", "kind", "finished_at"},
}


@pytest.fixture
def lab(own_lab: Lab) -> Lab:
    return own_lab


def set_dump(lab: Lab, dump_id: int, status: str, verdict: str = "new") -> None:
    lab.connection.execute(
        "update ops.dump set status = %s, verdict = %s, in_effect = %s = 'loaded', settled_at = now()"
        " where dump_id = %s",
        [status, verdict, status, dump_id],
    )


def state(lab: Lab) -> str:
    row = lab.connection.execute("select state from bi.feed_days").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("status", "verdict", "wanted"),
    [
        ("loaded", "new", "loaded"),
        ("refused", "unreadable", "refused"),
        ("refused", "held", "held"),
        ("failed", "new", "failed"),
        ("validated", "new", "open"),
        ("skipped", "empty", "empty"),
        ("skipped", "resent", "skipped"),
        ("undone", "new", "undone"),
    ],
)
def test_a_day_of_one_dump_is_as_that_dump(lab: Lab, status: str, verdict: str, wanted: str) -> None:
    set_dump(lab, lab.dump(VISITS).dump_id, status, verdict)
    assert state(lab) == wanted


def test_a_day_is_as_its_worst_dump(lab: Lab) -> None:
    set_dump(lab, lab.dump(VISITS).dump_id, "loaded")
    set_dump(lab, lab.dump(VISITS, hour=1).dump_id, "refused", "unreadable")
    assert state(lab) == "refused"


def test_a_refused_dump_whose_name_came_again_and_was_loaded_is_no_trouble(lab: Lab) -> None:
    set_dump(lab, lab.dump(VISITS, name="a").dump_id, "refused", "unreadable")
    set_dump(lab, lab.dump(VISITS, name="a").dump_id, "loaded", "superseding")
    assert state(lab) == "loaded"


def test_a_held_dump_that_a_person_rejected_no_longer_waits(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    set_dump(lab, dump.dump_id, "refused", "held")
    lab.connection.execute(
        "insert into ops.decision (dump_id, what, decided_by, reason, decided_at)"
        " values (%s, 'reject', 'p', 'r', now())",
        [dump.dump_id],
    )
    assert state(lab) == "refused"


def test_an_upload_that_has_not_ended_is_waited_for(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    lab.connection.execute("update ops.dump set ready = false where dump_id = %s", [dump.dump_id])
    assert state(lab) == "waiting"


def test_a_load_is_counted_by_verdict_and_timed(lab: Lab) -> None:
    dump = lab.dump(VISITS)
    lab.load(VISITS, dump, [(1, "a", 0), (2, "b", 0)])
    set_dump(lab, dump.dump_id, "loaded")
    counted = lab.connection.execute("select rows_read, rows_inserted, rows_stale from bi.feed_days").fetchone()
    timed = lab.connection.execute("select rows, seconds_load > 0, rows_per_second > 0 from bi.load_times").fetchone()
    assert (counted, timed) == ((2, 2, 0), (2, True, True))


@pytest.mark.parametrize("view", sorted(OPERATIONS))
def test_a_view_holds_counts_names_and_times_alone(lab: Lab, view: str) -> None:
    found = lab.connection.execute(
        "select column_name, data_type from information_schema.columns where table_schema = 'bi' and table_name = %s",
        [view],
    ).fetchall()
    others = {name for name, type_ in found if type_ in ("text", "jsonb", "ARRAY", "bytea")}
    assert others <= COLUMNS_OF_COUNTS[view]


def test_every_view_is_a_barrier(lab: Lab) -> None:
    found = lab.connection.execute(
        "select relname from pg_class where relnamespace = 'bi'::regnamespace and relname = any(%s)"
        " and 'security_barrier=true' = any(reloptions)",
        [list(OPERATIONS)],
    ).fetchall()
    assert {row[0] for row in found} == set(OPERATIONS)


def test_views_that_are_as_they_should_be_are_left_alone(lab: Lab) -> None:
    assert ensure_operations(lab.connection) == []


def test_a_view_of_another_version_is_made_anew(lab: Lab) -> None:
    lab.connection.execute("comment on view bi.feed_days is 'of last year'")
    assert ensure_operations(lab.connection) == ["made bi.feed_days"]
