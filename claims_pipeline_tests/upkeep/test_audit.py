"""What is remembered of a prune, and what stops one: nothing that another has in hand, no chore of another."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.upkeep import Kind, chores_of, prune
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_upkeep import TOMORROW, Archive


def test_dry_run_and_prune_are_both_in_the_audit(archive: Archive) -> None:
    archive.known(settled_days=100)
    archive.prune(Kind.VALIDATED_FRAMES, apply=False)
    archive.prune(Kind.VALIDATED_FRAMES)
    query = "select kind, dry_run, items, bytes, run_id, requested_by, error from ops.upkeep order by upkeep_id"
    row = ("validated_frames", True, 2, 10, "test", "ada", "")
    assert archive.pipeline.rows(query) == [row, (row[0], False, *row[2:])]


def test_the_audit_of_upkeep_is_append_only(archive: Archive) -> None:
    archive.prune(Kind.MESSAGES)
    owner = archive.pipeline.services.owner_database()
    with owner as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute("delete from ops.upkeep")


def test_a_chore_that_fails_is_audited_and_does_not_stop_the_others(archive: Archive) -> None:
    services = archive.pipeline.services
    chores = [c for c in chores_of(services, now=TOMORROW) if c.kind in (Kind.UPLOADS, Kind.MESSAGES)]

    def fail(apply: bool, tally: object) -> None:
        raise ClaimsPipelineError("S3 refused")

    done = prune(services, [replace(chores[0], work=fail), chores[1]], apply=True, run_id="test", requested_by="ada")
    found = [
        error.partition(" at ")[0] for (error,) in archive.pipeline.rows("select error from ops.upkeep order by 1")
    ]
    assert ([bool(one.error) for one in done], found) == ([True, False], ["", "S3 refused"])


def test_a_dump_that_a_run_has_locked_is_left_for_the_next_prune(archive: Archive) -> None:
    dump = archive.known(settled_days=100)
    with archive.pipeline.services.database() as connection, connection.transaction():
        connection.execute("select from ops.dump where dump_id = %s for update", [dump.dump_id])
        done = archive.prune(Kind.VALIDATED_FRAMES)
    assert (done.items, archive.look(dump).status) == (0, DumpStatus.LOADED)
