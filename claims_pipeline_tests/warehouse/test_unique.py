"""Values that belong to one key: who keeps them, what is set apart, and that a load never dies of them."""

from __future__ import annotations

import json

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims_pipeline.vocabulary import RowCounts
from claims_pipeline_tests.fix_warehouse import SAMPLES, Lab, Row, sample

database_bound = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

BADGE = 4_711_000_001  # a value that must not be seen outside the seal
badges = st.none() | st.integers(1, 3)
claims = st.builds(
    lambda key, version, badge, shelf: sample(key, version, badge=badge, shelf=shelf),
    st.integers(1, 4), st.integers(1, 3), badges, badges,
)  # fmt: skip


@database_bound
@given(dumps=st.lists(st.tuples(st.integers(0, 2), st.lists(claims, min_size=1, max_size=5)), min_size=2, max_size=4))
def test_no_claim_on_a_value_stops_a_load(shared_lab: Lab, dumps: list[tuple[int, list[Row]]]) -> None:
    shared_lab.empty()
    for hour, rows in dumps:
        dump = shared_lab.dump(SAMPLES, hour=hour)
        loaded = shared_lab.load(SAMPLES, dump, rows)  # the table's own constraints decide at its end
        assert loaded.rows.quarantined == sum(loaded.conflicts.values()) == len(shared_lab.opened(SAMPLES, dump))


@database_bound
@given(rows=st.lists(claims, min_size=1, max_size=6))
def test_a_dump_loaded_again_changes_nothing_whatever_was_set_apart(shared_lab: Lab, rows: list[Row]) -> None:
    shared_lab.empty()
    dump = shared_lab.dump(SAMPLES)
    first = shared_lab.load(SAMPLES, dump, rows).rows
    before = shared_lab.table(SAMPLES)
    again = shared_lab.load(SAMPLES, dump, rows).rows
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, first.inserted)
    assert shared_lab.table(SAMPLES) == before


def test_of_two_new_keys_with_one_value_the_smaller_keeps_it(lab: Lab) -> None:
    loaded = lab.load(SAMPLES, lab.dump(SAMPLES), [sample(2, badge=7), sample(1, badge=7)])
    assert (loaded.rows, loaded.conflicts) == (RowCounts(read=2, inserted=1, quarantined=1), {"unique.badge": 1})
    assert lab.table(SAMPLES) == [sample(1, badge=7)]


def test_the_key_that_has_a_value_in_the_table_keeps_it(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(2, badge=7)])
    loaded = lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), [sample(1, badge=7)])
    assert loaded.rows == RowCounts(read=1, quarantined=1)
    assert lab.table(SAMPLES) == [sample(2, badge=7)]


def test_a_change_of_the_holder_is_not_set_apart_with_the_claim(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(2, badge=7)])
    rows = [sample(1, 2, badge=7), sample(2, 2, "changed", badge=7)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows).rows == RowCounts(read=2, updated=1, quarantined=1)
    assert lab.table(SAMPLES) == [sample(2, 2, "changed", badge=7)]


def test_values_may_change_hands_within_a_dump(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1, badge=7), sample(2, badge=8)])
    swapped = [sample(1, 2, badge=8), sample(2, 2, badge=7)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), swapped).rows == RowCounts(read=2, updated=2)
    assert lab.table(SAMPLES) == swapped


def test_a_value_given_up_for_null_is_free(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(2, badge=7)])
    rows = [sample(1, 2, badge=7), sample(2, 2)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows).rows == RowCounts(read=2, inserted=1, updated=1)


def test_a_stale_row_gives_up_nothing(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(2, 5, badge=7)])
    rows = [sample(1, 1, badge=7), sample(2, 1, badge=8)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows).rows == RowCounts(read=2, stale=1, quarantined=1)


def test_a_stale_row_claims_nothing(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1, 5, badge=7)])
    rows = [sample(1, 1, badge=8), sample(2, 1, badge=8)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows).rows == RowCounts(read=2, stale=1, inserted=1)


def test_a_row_that_is_set_apart_gives_up_nothing(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1, badge=7), sample(2, badge=8), sample(3, badge=9)])
    rows = [sample(1, 2, badge=9), sample(2, 2, badge=7)]  # 3 keeps 9, so 1 keeps 7, so 2 cannot have it
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows).rows == RowCounts(read=2, quarantined=2)
    assert [row[3] for row in lab.table(SAMPLES)] == [7, 8, 9]


def test_a_row_set_apart_for_one_column_gives_up_nothing_in_another(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1, badge=7), sample(2, shelf=1)])
    rows = [sample(1, 2, badge=8, shelf=1), sample(3, 2, badge=7)]
    loaded = lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), rows)
    assert loaded.conflicts == {"unique.shelf": 1, "unique.badge": 1}


def test_a_long_chain_of_hands_that_breaks_at_its_end_is_set_apart(lab: Lab) -> None:
    # Each would take the next one's value; the last one's is taken, so none can have what it claims.
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(key, badge=key) for key in range(101)])
    chain = [sample(key, 2, badge=key + 1) for key in range(100)]
    loaded = lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), chain)
    assert loaded.rows == RowCounts(read=100, quarantined=100)


def test_a_long_chain_of_hands_that_closes_is_loaded(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(key, badge=key) for key in range(100)])
    ring = [sample(key, 2, badge=(key + 1) % 100) for key in range(100)]
    assert lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), ring).rows == RowCounts(read=100, updated=100)


def test_many_rows_without_a_value_are_no_conflict(lab: Lab) -> None:
    assert lab.load(SAMPLES, lab.dump(SAMPLES), [sample(key) for key in range(3)]).rows == RowCounts(read=3, inserted=3)


def test_a_row_set_apart_can_be_opened_as_json(lab: Lab) -> None:
    dump = lab.dump(SAMPLES)
    lab.load(SAMPLES, dump, [sample(1, badge=BADGE), sample(2, content="ü", badge=BADGE)])
    ((rules, content),) = lab.opened(SAMPLES, dump).values()
    assert rules == ["unique.badge"]
    expected = dict(zip([c.name for c in SAMPLES.stored], sample(2, content="ü", badge=BADGE), strict=True))
    assert json.loads(content) == expected | {"_row_number": 2}


def test_a_row_set_apart_lies_sealed(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1), sample(2, badge=BADGE), sample(3, badge=BADGE)])
    text = lab.connection.execute("select q::text, encode(sealed, 'escape') from ops.quarantine q").fetchall()
    assert len(text) == 1
    assert str(BADGE) not in str(text)


def test_the_table_itself_refuses_a_value_twice(lab: Lab) -> None:
    lab.load(SAMPLES, lab.dump(SAMPLES), [sample(1, badge=7), sample(2, badge=8)])
    with pytest.raises(psycopg.errors.UniqueViolation):
        lab.connection.execute("update lab.samples set badge = 7")
