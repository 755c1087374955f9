"""Backup and restore drill in Dagster: what a run shows, which check speaks, who is told, the ages sent."""

from __future__ import annotations

import dataclasses
import datetime as dt

import dagster as dg
import pytest

from claims_pipeline.backup import Backups
from claims_pipeline.landing import backups as stored
from claims_pipeline.local import postgres_program
from claims_pipeline.orchestration.upkeep import BACKUP, RESTORE_DRILL, age_schedule, tell_killed
from claims_pipeline.warehouse import backup_log
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, whole_job
from claims_pipeline_tests.fix_listeners import SlackListener, StatsdListener


@pytest.fixture
def told(location: CodeLocation, configure: Configure, slack_api: SlackListener) -> SlackListener:
    """The channel that the code location tells."""
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url, pg_bin=postgres_program("pg_dump").parent)
    return slack_api


def run(location: CodeLocation, key: dg.AssetKey) -> dg.ExecuteInProcessResult:
    return whole_job().execute_in_process(
        instance=location.instance,
        asset_selection=[key],
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def backups_of(location: CodeLocation) -> Backups:
    return Backups(location.pipeline.services, run_id="test")


def test_a_backup_shows_its_figures(location: CodeLocation, told: SlackListener) -> None:
    result = run(location, BACKUP)
    (event,) = result.asset_materializations_for_node("ops__backup")
    manifest = backups_of(location).find("latest")
    shown = [event.metadata[name].value for name in ("bytes", "tables", "rows", "backups_kept")]
    assert shown == [manifest.bytes, len(manifest.tables), manifest.rows, 1]


def test_a_backup_that_went_well_needs_no_message(location: CodeLocation, told: SlackListener) -> None:
    run(location, BACKUP)
    assert told.methods == []


def test_a_drill_of_a_good_backup_passes(location: CodeLocation, told: SlackListener) -> None:
    backups_of(location).take()
    result = run(location, RESTORE_DRILL)
    assert (result.success, check_of(result).passed, told.methods) == (True, True, [])


def test_a_drill_without_a_backup_is_an_error_and_told(location: CodeLocation, told: SlackListener) -> None:
    result = run(location, RESTORE_DRILL)
    check = check_of(result)
    assert (result.success, check.passed, check.severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    (call,) = told.calls
    assert "restore drill failed" in call.payload["text"]


def test_a_backup_that_differs_is_an_error_and_told(location: CodeLocation, told: SlackListener) -> None:
    backups = backups_of(location)
    manifest = backups.take()
    tables = tuple(dataclasses.replace(table, rows=table.rows + 1) for table in manifest.tables)
    stored.write_manifest(backups.services.s3, backups.bucket, dataclasses.replace(manifest, tables=tables))
    result = run(location, RESTORE_DRILL)
    assert (result.success, check_of(result).passed, told.methods) == (False, False, ["chat.postMessage"])


@pytest.mark.parametrize(("hours", "passed"), [(47, True), (49, False)])
def test_a_backup_may_be_two_days_old(location: CodeLocation, told: SlackListener, hours: int, passed: bool) -> None:
    backups = backups_of(location)
    manifest = backups.take()
    older = dataclasses.replace(manifest, stamp=manifest.stamp - dt.timedelta(hours=hours))
    s3, bucket = backups.services.s3, backups.bucket
    body = s3.get_object(Bucket=bucket, Key=stored.dump_key(manifest.stamp))["Body"].read()
    s3.put_object(Bucket=bucket, Key=stored.dump_key(older.stamp), Body=body)
    stored.write_manifest(s3, bucket, older)
    stored.delete(s3, bucket, stored.stored(s3, bucket)[0])
    assert check_of(run(location, RESTORE_DRILL)).passed == passed


def test_a_backup_that_fails_is_told_with_its_reason(
    location: CodeLocation, told: SlackListener, configure: Configure
) -> None:
    configure(backup_bucket="no-such-bucket")
    result = run(location, BACKUP)
    (call,) = told.calls
    assert (result.success, "no-such-bucket" in str(call.payload["blocks"])) == (False, True)


def test_a_killed_task_is_told(location: CodeLocation, told: SlackListener) -> None:
    job = whole_job().get_subset(asset_selection={BACKUP})
    killed = location.instance.create_run_for_job(job, asset_selection=frozenset({BACKUP}))
    tell_killed(location.pipeline, killed)
    (call,) = told.calls
    assert "backup failed" in call.payload["text"]


def test_the_ages_are_sent_every_hour(
    kept_location: CodeLocation, configure: Configure, statsd: StatsdListener
) -> None:
    configure(datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port)
    with dg.build_schedule_context(
        instance=kept_location.instance, resources={"pipeline": kept_location.pipeline}
    ) as context:
        said = age_schedule().evaluate_tick(context).skip_message or ""
    with kept_location.database() as connection:
        known = backup_log.standing(connection)
    found = {line.name: line.value for line in statsd.metrics(at_least=3)}
    assert 0 < found["claims.backup.drill.age"] <= known.drill_age
    assert found["claims.audit.age"] > 0
    assert "audit verified" in said
