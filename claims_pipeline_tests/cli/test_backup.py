"""`claims-pipeline backup` as a terminal sees it."""

from __future__ import annotations

import dataclasses

import pytest

from claims_pipeline.backup import Backups
from claims_pipeline.landing import backups as stored
from claims_pipeline.local import postgres_program
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import Configure


@pytest.fixture
def warehouse(pointed: str, configure: Configure) -> str:
    """A migrated warehouse, and client programs that fit it."""
    configure(pg_bin=postgres_program("pg_dump").parent)
    return pointed


def test_a_backup_is_made_listed_and_proven(warehouse: str) -> None:
    made = call_json("backup", "now")
    listed = call_json("backup", "list")
    proven = call_json("backup", "drill")
    assert (listed, proven["manifest"], proven["differences"]) == ([made], made, [])


def test_a_backup_is_restored_into_an_empty_database(warehouse: str, database_url: str) -> None:
    call("backup", "now")
    result = call("backup", "restore", "latest", "--into", database_url)
    assert (result.exit_code, "as they were" in result.stdout) == (0, True)


def test_the_warehouse_itself_is_never_restored_over(warehouse: str) -> None:
    call("backup", "now")
    result = call("backup", "restore", "latest", "--into", warehouse)
    assert (result.exit_code, "not empty" in result.stderr) == (3, True)


def test_a_drill_that_finds_a_difference_ends_with_1(warehouse: str) -> None:
    call("backup", "now")
    backups = Backups(Services(get_settings()), run_id="test")
    manifest = backups.find("latest")
    tables = tuple(dataclasses.replace(table, rows=table.rows + 7) for table in manifest.tables)
    stored.write_manifest(backups.services.s3, backups.bucket, dataclasses.replace(manifest, tables=tables))
    result = call("backup", "drill")
    assert (result.exit_code, "ops.dump" in result.stdout) == (1, True)


def test_a_drill_without_a_backup_ends_with_3(warehouse: str) -> None:
    result = call("backup", "drill")
    assert (result.exit_code, "backup list" in result.stderr) == (3, True)


def test_prune_only_tells_unless_it_is_to_apply(warehouse: str) -> None:
    call("backup", "now")
    assert call_json("backup", "prune")["applied"] is False


def test_the_newest_backup_survives_prune(warehouse: str) -> None:
    call("backup", "now")
    call("backup", "prune", "--apply")
    assert len(call_json("backup", "list")) == 1
