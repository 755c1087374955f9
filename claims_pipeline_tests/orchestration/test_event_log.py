"""Pruning of Dagster's own storage, on SQLite and on Postgres: which runs go, and that no day looks missing after."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from claims_pipeline.orchestration.event_log import LOGS_PRUNED_TAG, dagster_chores, last_materialized_by
from claims_pipeline.orchestration.instance import prepare_home
from claims_pipeline.settings import get_settings
from claims_pipeline.upkeep import Kind, Tally
from claims_pipeline_tests.fix_dagster import Configure

LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=91)
"""When the runs of these tests are old."""

MONDAY, TUESDAY = "2026-05-04", "2026-05-05"
DAYS = dg.DailyPartitionsDefinition(start_date=MONDAY)
DAILY, PLAIN = dg.AssetKey("daily"), dg.AssetKey("plain")


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("good", asset="daily")])
def daily(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """A day's data; fails where its run is tagged so."""
    if "fail" in context.run.tags:
        raise dg.Failure("as asked")
    yield dg.AssetCheckResult(passed=True)
    yield dg.MaterializeResult()


@dg.asset
def plain() -> None:
    """Without partitions."""


JOB = dg.Definitions(assets=[daily, plain]).resolve_implicit_global_asset_job_def()


@pytest.fixture(params=["sqlite", "postgres"])
def instance(configure: Configure, request: pytest.FixtureRequest) -> Iterator[dg.DagsterInstance]:
    """An instance as the settings make it, with each kind of storage."""
    if request.param == "postgres":
        configure(dagster_storage_url=request.getfixturevalue("database_url"))
    with dg.DagsterInstance.from_config(str(prepare_home(get_settings()))) as instance:
        yield instance


def run(instance: dg.DagsterInstance, *, day: str | None = None, fail: bool = False) -> str:
    """Materialize a day, or the asset without partitions; the run's id."""
    return JOB.execute_in_process(
        instance=instance,
        asset_selection=[DAILY if day else PLAIN],
        partition_key=day,
        tags={"fail": "yes"} if fail else None,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    ).run_id


def prune(
    instance: dg.DagsterInstance, kind: Kind = Kind.DAGSTER_RUNS, *, now: dt.datetime = LATER, apply: bool = True
) -> Tally:
    (chore,) = [chore for chore in dagster_chores(instance, get_settings(), now=now) if chore.kind is kind]
    tally = Tally()
    chore.work(apply, tally)
    return tally


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_the_run_that_last_materialized_a_day_is_kept_whatever_its_age(instance: dg.DagsterInstance) -> None:
    kept = {run(instance, day=MONDAY), run(instance, day=TUESDAY), run(instance)}
    prune(instance)
    assert runs(instance) == kept


def test_no_day_looks_missing_afterwards(instance: dg.DagsterInstance) -> None:
    for day in (MONDAY, TUESDAY, MONDAY):
        run(instance, day=day)
    prune(instance)
    assert instance.get_materialized_partitions(DAILY) == {MONDAY, TUESDAY}


def test_a_run_that_a_later_one_repeated_goes(instance: dg.DagsterInstance) -> None:
    run(instance, day=MONDAY)
    kept = {run(instance, day=MONDAY)}
    prune(instance)
    assert runs(instance) == kept


def test_an_earlier_run_of_an_asset_without_partitions_goes(instance: dg.DagsterInstance) -> None:
    run(instance)
    kept = {run(instance)}
    prune(instance)
    assert runs(instance) == kept


def test_a_failed_run_goes(instance: dg.DagsterInstance) -> None:
    kept = {run(instance, day=MONDAY)}
    run(instance, day=MONDAY, fail=True)
    prune(instance)
    assert runs(instance) == kept


def test_a_run_that_has_not_ended_stays(instance: dg.DagsterInstance) -> None:
    queued = instance.create_run_for_job(JOB, status=dg.DagsterRunStatus.STARTED).run_id
    prune(instance)
    assert runs(instance) == {queued}


def test_runs_that_are_not_old_stay(instance: dg.DagsterInstance) -> None:
    run(instance, day=MONDAY, fail=True)
    tally = prune(instance, now=LATER - dt.timedelta(days=2))
    assert (tally.items, len(runs(instance))) == (0, 1)


def test_a_dry_run_counts_the_runs_and_deletes_none(instance: dg.DagsterInstance) -> None:
    run(instance, day=MONDAY, fail=True)
    tally = prune(instance, apply=False)
    assert (tally.items, len(runs(instance))) == (1, 1)


def test_events_go_with_their_run(instance: dg.DagsterInstance) -> None:
    gone = run(instance, day=MONDAY, fail=True)
    prune(instance)
    with dg.DagsterInstance.from_config(str(prepare_home(get_settings()))) as another_look:
        assert another_look.get_records_for_run(gone).records == []


def test_results_of_checks_survive_their_run(instance: dg.DagsterInstance) -> None:
    first, second = run(instance, day=MONDAY), run(instance, day=MONDAY)
    prune(instance)
    history = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(DAILY, "good"), limit=10)
    assert {record.run_id for record in history} == {first, second}


def test_kept_and_deleted_runs_mixed_over_several_pages(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claims_pipeline.orchestration.event_log._RUNS_AT_ONCE", 2)
    monkeypatch.setattr("claims_pipeline.orchestration.event_log._EVENTS_AT_ONCE", 1)
    run(instance, day=MONDAY, fail=True)
    kept = {run(instance, day=MONDAY)}
    for _ in range(3):
        run(instance, day=MONDAY, fail=True)
    kept |= {run(instance, day=TUESDAY)}
    run(instance, day=TUESDAY, fail=True)
    assert (prune(instance).items, runs(instance)) == (5, kept)


def test_the_output_of_old_steps_goes_and_their_run_says_when(instance: dg.DagsterInstance) -> None:
    kept = run(instance, day=MONDAY)
    prune(instance, Kind.COMPUTE_LOGS)
    found = instance.get_run_by_id(kept)
    assert (logs_of(kept), found and found.tags[LOGS_PRUNED_TAG]) == ([], f"{LATER:%Y-%m-%d}")


def test_output_is_not_pruned_twice(instance: dg.DagsterInstance) -> None:
    run(instance, day=MONDAY)
    prune(instance, Kind.COMPUTE_LOGS)
    assert prune(instance, Kind.COMPUTE_LOGS).items == 0


def test_output_stays_in_a_dry_run(instance: dg.DagsterInstance) -> None:
    kept = run(instance, day=MONDAY)
    assert (prune(instance, Kind.COMPUTE_LOGS, apply=False).items, bool(logs_of(kept))) == (1, True)


def logs_of(run_id: str) -> list[Path]:
    """Files with the output of a run's steps."""
    return [
        path for path in (get_settings().state_dir / "dagster" / "compute_logs" / run_id).rglob("*") if path.is_file()
    ]


def test_with_sqlite_the_file_of_a_deleted_run_goes(configure: Configure) -> None:
    with dg.DagsterInstance.from_config(str(prepare_home(get_settings()))) as instance:
        gone = run(instance, day=MONDAY, fail=True)
        folder = get_settings().state_dir / "dagster"
        before = list(folder.rglob(f"{gone}.db*"))
        prune(instance)
        assert (bool(before), list(folder.rglob(f"{gone}.db*"))) == (True, [])


def test_nothing_is_pruned_where_the_settings_keep_all(configure: Configure) -> None:
    configure(dagster_run_days=0, compute_log_days=0)
    with dg.DagsterInstance.ephemeral() as instance:
        assert dagster_chores(instance, get_settings()) == []


def test_the_last_runs_of_an_instance_without_any_are_none() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert last_materialized_by(instance) == set()
