"""What the manifest expects is what the pipeline's rules make of the bytes."""

from __future__ import annotations

import datetime as dt
import io
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from claims_pipeline.feeds import feed_named
from claims_pipeline.frames import KeyRing, Keys, make_key_ring, validate_dump
from claims_pipeline.local.fake_sender import DATASETS, DumpManifest, Plan, PlantedVerdict
from claims_pipeline.local.fake_sender.life import Life
from claims_pipeline_tests.local.fake_sender_dumps import Generated, generated

# Far dirtier than life, so that few rows meet every rule.
DIRTY = Plan(dt.date(2024, 11, 1), days=14, rows=70, dirt=0.5)
MANY = Plan(dt.date(2024, 11, 1), days=6, rows=1500, dirt=0.3)  # enough for the rare ones
CLEAN = Plan(dt.date(2024, 11, 1), days=5, rows=60, dirt=0)
KEYS = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))
NOT_IN_TABLE = (PlantedVerdict.QUARANTINED, PlantedVerdict.FILTERED, PlantedVerdict.DUPLICATE)


@pytest.fixture(scope="module")
def dirty() -> Generated:
    """Two weeks of which half the rows are spoilt, in every dialect."""
    return generated(DIRTY)


@pytest.fixture(scope="module")
def many() -> Generated:
    """Many submissions."""
    return generated(MANY, "form526_submissions")


def _validated(
    world: Generated, dump: DumpManifest, folder: Path
) -> tuple[set[tuple[int, str]], dict[str, int], int, int]:
    """What the frames find: rejects by row and rule, issues, rows read, rows filtered."""
    rejects = folder / "rejects.parquet"
    found = validate_dump(
        io.BytesIO(world.objects[dump.key]),
        feed=feed_named(f"va_form526/{dump.dataset}"),
        compression="gzip" if dump.dialect.gzip else None,
        stamp=dump.stamp,
        delivery_day=dump.delivery_day,
        keys=KEYS,
        rows_file=folder / "rows.parquet",
        rejects_file=rejects,
    )
    table = pq.read_table(rejects, columns=["row_number", "rules"]).to_pylist()
    return (
        {(row["row_number"], rule) for row in table for rule in row["rules"]},
        found.issues,
        found.read,
        found.filtered,
    )


def _expected(dump: DumpManifest) -> tuple[set[tuple[int, str]], dict[str, int], int, int]:
    rejects = {
        (planted.row, planted.rule)
        for planted in dump.planted
        if planted.verdict is PlantedVerdict.QUARANTINED and not planted.rule.startswith("unique.")
    }
    issues = dump.count(PlantedVerdict.ISSUE, PlantedVerdict.WARNING)
    return rejects, issues, dump.rows, sum(dump.count(PlantedVerdict.FILTERED).values())


def test_the_frames_find_every_planted_defect_and_no_other(dirty: Generated, tmp_path: Path) -> None:
    for dump in dirty.manifest.dumps[-5 * len(DATASETS) :]:  # five days are enough, and are quick
        assert _validated(dirty, dump, tmp_path) == _expected(dump)


def test_the_frames_find_nothing_where_nothing_is_planted(tmp_path: Path) -> None:
    world = generated(CLEAN)
    for dump in world.manifest.dumps:
        assert _validated(world, dump, tmp_path) == (set(), {}, dump.rows, 0)


def test_every_rule_of_the_contracts_is_planted_sooner_or_later(dirty: Generated, many: Generated) -> None:
    rare = {"form526_submission_remediations"}  # too few rows in two weeks of a small plan
    for kind in DATASETS:
        if (name := kind.feed.dataset) not in rare:
            world = many if many.of(name) else dirty
            planted = {planted.rule for dump in world.of(name) for planted in dump.planted}
            assert planted == {defect.rule for defect in kind(Life(DIRTY)).defects}


def test_a_dump_accounts_for_every_row(dirty: Generated) -> None:
    for dump in dirty.manifest.dumps:
        assert dump.rows == dump.loaded + sum(dump.count(*NOT_IN_TABLE).values())


def test_replaying_the_loaded_rows_ends_in_the_expected_tables(dirty: Generated) -> None:
    tables: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for dump in dirty.manifest.dumps:
        keys = feed_named(f"va_form526/{dump.dataset}").key
        rows = _loaded(dirty, dump)
        table = tables[dump.dataset]
        before = len(table)
        if dump.dataset == "form526_contentions":
            emptied = {(row["id"],) for row in _loaded(dirty, _parents(dirty, dump)) if row["disability_count"] == "0"}
            replaced = emptied | {(row["submission_id"],) for row in rows}
            table -= {key for key in table if key[:1] in replaced}
        table |= {tuple(row[key] for key in keys) for row in rows}
        assert len(table) - before == dump.gained
    assert dirty.manifest.live == {name: len(table) for name, table in tables.items()}


def test_a_planted_double_number_is_held_by_another_submission(many: Generated) -> None:
    columns = feed_named("va_form526/form526_submissions").unique
    holders: dict[tuple[str, str], str] = {}
    planted_rules = set()
    for dump in many.of("form526_submissions"):
        rows = many.rows(dump)
        for planted in dump.planted:
            kind, _, column = planted.rule.partition(".")
            if kind == "unique":
                row = rows[planted.row - 1]
                planted_rules.add(planted.rule)
                assert holders[column, row[column].strip()] != row["id"]
        for row in _loaded(many, dump):
            for column in columns:
                if (value := row[column].strip()) and value != "\\N":
                    assert holders.setdefault((column, value), row["id"]) == row["id"]
    assert planted_rules == {f"unique.{column}" for column in columns}


def test_of_two_rows_with_one_key_the_duplicate_is_the_older(dirty: Generated) -> None:
    seen = 0
    for dump in dirty.of("form526_submissions"):
        rows = dirty.rows(dump)
        loaded = {row["id"]: row["updated_at"] for row in _loaded(dirty, dump)}
        for planted in dump.planted:
            if planted.verdict is PlantedVerdict.DUPLICATE:
                seen += 1
                assert rows[planted.row - 1]["updated_at"] < loaded[rows[planted.row - 1]["id"]]
    assert seen


def _loaded(world: Generated, dump: DumpManifest) -> list[dict[str, str]]:
    """The rows that reach the table."""
    out = {planted.row for planted in dump.planted if planted.verdict in NOT_IN_TABLE}
    return [row for number, row in enumerate(world.rows(dump), start=1) if number not in out]


def _parents(world: Generated, dump: DumpManifest) -> DumpManifest:
    return next(d for d in world.of("form526_submissions") if d.delivery_day == dump.delivery_day)
