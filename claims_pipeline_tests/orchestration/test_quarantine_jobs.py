"""A dump over its budget is held; a person decides in the UI; a mended contract is replayed from there."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from claims_pipeline.definitions import build_definitions
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_quarantine import CANARY, MIXED, STRICT_RULE, load_strictly, no_code

OVER_SHARE = as_csv([*upload_lines(3), *map(no_code, range(1, 151))])


@pytest.fixture
def held(location: CodeLocation) -> CodeLocation:
    """A code location whose sensor has met a dump over its budget."""
    location.put(upload_name(), OVER_SHARE)
    location.deliver()
    return location


def launch(location: CodeLocation, job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
    """A job as launched in the UI."""
    return (
        build_definitions()
        .resolve_job_def(job)
        .execute_in_process(
            instance=location.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )
    )


def decide(location: CodeLocation, decision: str, *, dump: int = 1) -> dg.ExecuteInProcessResult:
    return launch(location, "decide_held", "decide_dump", dump=dump, decision=decision, by="ada", reason="ticket 12")


def replay(location: CodeLocation, **config: Any) -> dg.ExecuteInProcessResult:
    return launch(location, "replay_quarantine", "replay_rows", **config)


# ---------------------------------------------------------------------------------------------- held


def test_a_dump_over_its_budget_is_held_and_nothing_of_it_is_loaded(held: CodeLocation) -> None:
    (dump,) = held.dumps()
    assert (dump.status, dump.verdict, held.live()) == (DumpStatus.REFUSED, DumpVerdict.HELD, {})


def test_the_sensor_asks_for_no_run_of_a_held_dump(held: CodeLocation) -> None:
    assert held.look() == []


def test_an_approved_dump_is_loaded_by_the_next_look(held: CodeLocation) -> None:
    assert decide(held, "approve").success
    held.deliver()
    assert (held.live(), held.statuses()) == ({UPLOADS: 3}, {DumpStatus.LOADED: 1})


def test_the_run_of_an_approved_dump_has_a_key_of_its_own(location: CodeLocation) -> None:
    """Dagster takes a run key once, whatever became of its run."""
    location.put(upload_name(), OVER_SHARE)
    (first,) = location.look()
    location.run(first)
    decide(location, "approve")
    (second,) = location.look()
    assert first.run_key != second.run_key


def test_a_rejected_dump_stays_out(held: CodeLocation) -> None:
    assert decide(held, "reject").success
    assert (held.look(), held.live(), held.statuses()) == ([], {}, {DumpStatus.REFUSED: 1})


def test_who_and_why_are_kept(held: CodeLocation) -> None:
    decide(held, "reject")
    with held.database() as connection:
        found = connection.execute("select what, decided_by, reason from ops.decision").fetchall()
    assert found == [("reject", "ada", "ticket 12")]


@pytest.mark.parametrize("dump", [2, 1], ids=["unknown", "not held"])
def test_a_decision_about_another_dump_fails(location: CodeLocation, dump: int) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    assert not decide(location, "approve", dump=dump).success


# ---------------------------------------------------------------------------------------------- replay


@pytest.fixture
def mixed(location: CodeLocation) -> CodeLocation:
    """A dump loaded under a stricter contract than today's."""
    location.put(upload_name(), MIXED)
    load_strictly(Flow(Services(get_settings()), run_id="strict"))
    return location


def test_the_job_loads_what_passes_now(mixed: CodeLocation) -> None:
    assert replay(mixed, rule=STRICT_RULE).success
    assert mixed.live() == {UPLOADS: 4}


def test_a_dry_run_of_the_job_loads_nothing(mixed: CodeLocation) -> None:
    assert replay(mixed, dry_run=True).success
    assert mixed.live() == {UPLOADS: 3}


def test_the_job_shows_rows_by_rule_and_no_value(mixed: CodeLocation) -> None:
    shown = str([event.event_specific_data for event in replay(mixed).all_events])
    assert (STRICT_RULE in shown, CANARY in shown) == (True, False)


def test_the_job_fails_where_a_dump_was_not_loaded(mixed: CodeLocation) -> None:
    (dump,) = mixed.dumps()
    assert dump.archive_key is not None
    mixed.s3.delete_object(Bucket=get_settings().archive_bucket, Key=dump.archive_key)
    assert not replay(mixed).success


def test_a_day_that_is_no_day_is_refused(mixed: CodeLocation) -> None:
    assert not replay(mixed, day="4 May").success
