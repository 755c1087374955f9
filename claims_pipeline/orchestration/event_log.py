"""Chores of Dagster's own storage: old runs with their events, and output of old steps. Dagster keeps both for ever.

Belongs here: which runs may go without a hole in the UI, and deleting them through the instance. Does not belong here:
ticks of sensors and schedules (`retention` in dagster.yaml deletes these), the audit (upkeep).

`DagsterInstance.delete_run` deletes a run's materializations as well, and a day whose only materialization is gone is
shown as missing. So the run that last materialized an asset or a day of it is kept, whatever its age. Results of asset
checks, and the last materialization of an asset in its header, survive the deletion of their run.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from claims_pipeline.settings import Settings
from claims_pipeline.upkeep import Chore, Kind, Tally, Work

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

LOGS_PRUNED_TAG = "claims_pipeline/output_pruned"
"""On runs that are kept, but not the output of their steps: the day on which that was deleted."""

_RUNS_AT_ONCE = 200
_EVENTS_AT_ONCE = 500


def dagster_chores(instance: dg.DagsterInstance, settings: Settings, *, now: dt.datetime | None = None) -> list[Chore]:
    """The chores that the settings ask for; ages are counted from `now`, UTC."""
    now = now or dt.datetime.now(dt.UTC)
    runs, logs = settings.dagster_run_days, settings.compute_log_days
    chores = []
    if logs:
        work = _logs_before(instance, now - dt.timedelta(days=logs), now)
        chores.append(Chore(Kind.COMPUTE_LOGS, f"output of the steps of runs older than {logs} days", work))
    if runs:
        work = _runs_before(instance, now - dt.timedelta(days=runs))
        chores.append(Chore(Kind.DAGSTER_RUNS, f"runs older than {runs} days, not the last of any day", work))
    return chores


def _runs_before(instance: dg.DagsterInstance, before: dt.datetime) -> Work:
    def work(apply: bool, tally: Tally) -> None:
        tally.bytes = None
        kept = last_materialized_by(instance)
        cursor: str | None = None
        while page := _page(instance, before, cursor):
            gone = [record for record in page if record.dagster_run.run_id not in kept]
            for record in gone:
                tally.add(at=record.create_timestamp, size=None)
                if apply:
                    _delete(instance, record.dagster_run.run_id)
            # A page begins after a run that is still there: a deleted one marks no place any more.
            there = [record for record in page if not apply or record not in gone]
            if len(page) > len(gone):
                tally.note("older, but the last of a day, kept", len(page) - len(gone))
            cursor = there[-1].dagster_run.run_id if there else cursor

    return work


def _logs_before(instance: dg.DagsterInstance, before: dt.datetime, now: dt.datetime) -> Work:
    def work(apply: bool, tally: Tally) -> None:
        tally.bytes = None
        for record in _ended_before(instance, before):
            run = record.dagster_run
            if LOGS_PRUNED_TAG in run.tags:
                continue
            tally.add(at=record.create_timestamp, size=None)
            if apply:
                instance.compute_log_manager.delete_logs(prefix=[run.run_id])
                instance.add_run_tags(run.run_id, {LOGS_PRUNED_TAG: f"{now:%Y-%m-%d}"})

    return work


def last_materialized_by(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs that materialized an asset, or a partition of one, and that none has done since."""
    runs: set[str] = set()
    for key in instance.get_asset_keys():
        newest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(newest.values())
        for first in range(0, len(ids), _EVENTS_AT_ONCE):
            some = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[first : first + _EVENTS_AT_ONCE])
            runs |= {record.run_id for record in instance.fetch_materializations(some, limit=_EVENTS_AT_ONCE).records}
        if (event := instance.get_latest_materialization_event(key)) is not None:
            runs.add(event.run_id)
    return runs


def _ended_before(instance: dg.DagsterInstance, before: dt.datetime) -> Iterator[dg.RunRecord]:
    """Runs that have ended and were created before a moment, oldest first."""
    cursor: str | None = None
    while page := _page(instance, before, cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _page(instance: dg.DagsterInstance, before: dt.datetime, cursor: str | None) -> list[dg.RunRecord]:
    wanted = dg.RunsFilter(statuses=ENDED, created_before=before)
    return list(instance.get_run_records(wanted, limit=_RUNS_AT_ONCE, cursor=cursor, ascending=True))


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    # With SQLite each run has a file of its own, which `delete_run` empties, and leaves at its size.
    path_of = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of is not None:
        for suffix in ("", "-wal", "-shm"):
            Path(path_of(run_id) + suffix).unlink(missing_ok=True)
