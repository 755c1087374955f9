"""The three steps in real runs: what each shows, what stops it, and what a day by hand does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg
import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.keys import feed_keys
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_dagster import (
    DAY,
    JOBS,
    UPLOADS,
    CodeLocation,
    as_csv,
    feed_of,
    upload_lines,
    upload_name,
)

NEXT_DAY = DAY + dt.timedelta(days=1)
RAW, VALIDATED, TABLE = (key.to_user_string() for key in feed_keys(feed_of(UPLOADS)))
NO_COLUMN = b"submission_id,attachment_id,file_name\n1000001,L015,a.pdf\n"
"""An uploads dump without its key column."""

CHECKS_OF = {
    RAW: ["intact"],
    VALIDATED: ["contract", "rejects_within_budget"],
    TABLE: ["fresh", "key_unique", "row_conservation", "volume_in_range"],
}


def checks_of(location: CodeLocation, result: dg.ExecuteInProcessResult) -> dict[str, list[str]]:
    """Checks emitted, by asset."""
    found: dict[str, list[str]] = {}
    for asset, name in sorted(location.checks(result)):
        found.setdefault(asset, []).append(name)
    return found


def figures(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Mapping[str, object]]:
    """Metadata of an asset's materializations by partition."""
    key = dg.AssetKey(asset.split("/"))
    return {
        event.partition or "": {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if (event.asset_key == key)
    }


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The description of the only step that failed."""
    (event,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data.description or ""


# ---------------------------------------------------------------------------------------------- by hand


def test_a_day_by_hand_loads_what_lies_in_the_inbox(location: CodeLocation) -> None:
    manifest = location.drop(UPLOADS)
    assert location.by_hand(UPLOADS).success
    assert location.live() == manifest.live


def test_a_day_by_hand_a_second_time_changes_no_row(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    location.deliver()
    before = location.content(UPLOADS)
    assert location.by_hand(UPLOADS).success
    assert location.content(UPLOADS) == before


def test_a_day_by_hand_is_read_from_the_archive(location: CodeLocation) -> None:
    manifest = location.drop(UPLOADS)
    location.deliver()
    location.take_back(manifest.dumps[0].key)
    result = location.by_hand(UPLOADS)
    assert figures(result, TABLE)[str(DAY)]["dagster/partition_row_count"] == manifest.dumps[0].rows


def test_a_day_by_hand_is_in_the_audit(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    location.deliver()
    location.by_hand(UPLOADS)
    assert location.loads() == 2


def test_a_day_without_a_dump_by_hand_fails_and_says_where_to_look(location: CodeLocation) -> None:
    result = location.by_hand(UPLOADS)
    assert failure_of(result) == (
        f"no dump of {SENDER.name}/{UPLOADS} has arrived for 2026-05-04: nothing to process. "
        f"Look into the inbox, s3://{location.inbox}/526/"
    )


def test_a_range_by_hand_without_a_dump_names_its_ends(location: CodeLocation) -> None:
    result = location.by_hand(UPLOADS, first=DAY, last=DAY + dt.timedelta(days=2))
    assert "for 2026-05-04 to 2026-05-06" in failure_of(result)


# ---------------------------------------------------------------------------------------------- what the UI shows


def test_each_day_of_a_range_has_figures_of_its_own(location: CodeLocation) -> None:
    manifest = location.drop(UPLOADS, days=3)
    (result,) = location.deliver()
    expected = {dump.delivery_day.isoformat(): dump.rows for dump in manifest.dumps}
    for asset in (VALIDATED, TABLE):
        found = {day: shown["dagster/partition_row_count"] for day, shown in figures(result, asset).items()}
        assert found == expected


def test_the_raw_layer_shows_no_rows_since_it_reads_none(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (result,) = location.deliver()
    assert "dagster/partition_row_count" not in figures(result, RAW)[str(DAY)]


def test_each_day_of_a_range_shows_the_bytes_of_its_own_dumps(location: CodeLocation) -> None:
    manifest = location.drop(UPLOADS, days=2)
    (result,) = location.deliver()
    found = {day: shown["bytes"] for day, shown in figures(result, RAW).items()}
    assert found == {dump.delivery_day.isoformat(): dump.bytes for dump in manifest.dumps}


def test_the_table_shows_its_rows_and_where_they_went(location: CodeLocation) -> None:
    manifest = location.drop(UPLOADS, rows=60, dirt=0.05)
    (result,) = location.deliver()
    shown = figures(result, TABLE)[str(DAY)]
    assert shown["dagster/row_count"] == manifest.live[UPLOADS]
    verdicts = ("inserted", "updated", "unchanged", "stale", "duplicate", "filtered", "quarantined")
    assert sum(int(str(shown[f"rows_{name}"])) for name in verdicts) == manifest.dumps[0].rows


def test_each_layer_shows_where_it_lies(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (result,) = location.deliver()
    places = [str(figures(result, asset)[str(DAY)]["dagster/uri"]) for asset in (RAW, VALIDATED, TABLE)]
    assert [place.partition("://")[0] for place in places] == ["s3", "s3", "postgresql"]


# ---------------------------------------------------------------------------------------------- checks on every path


def test_a_good_dump_gets_every_check(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (result,) = location.deliver()
    assert checks_of(location, result) == CHECKS_OF


def test_all_checks_but_freshness_of_a_good_old_dump_pass(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (result,) = location.deliver()
    assert [name for (_, name), passed in location.checks(result).items() if not passed] == ["fresh"]


def test_a_request_whose_dumps_are_done_already_gets_every_check(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (request,) = location.look()
    location.run(request)
    assert checks_of(location, location.run(request)) == CHECKS_OF


def test_a_skipped_dump_gets_every_check(location: CodeLocation) -> None:
    location.put(upload_name(), b"")
    (result,) = location.deliver()
    assert checks_of(location, result) == CHECKS_OF


def test_a_good_dump_beside_a_refused_one_gets_every_check(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.put(upload_name(hour=6), as_csv(upload_lines()))
    (result,) = location.deliver()
    assert checks_of(location, result) == CHECKS_OF


def test_a_step_whose_dumps_are_all_refused_has_given_its_checks(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    (result,) = location.deliver()
    assert checks_of(location, result) == {asset: CHECKS_OF[asset] for asset in (RAW, VALIDATED)}


# ---------------------------------------------------------------------------------------------- refused


def test_a_step_whose_dumps_are_all_refused_fails_and_says_what_to_do(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    (result,) = location.deliver()
    assert failure_of(result).startswith("every dump was refused: ")
    assert f"`claims-pipeline explain {upload_name().rpartition('/')[2]}` tells more" in failure_of(result)


def test_what_follows_a_step_whose_dumps_are_all_refused_is_not_begun(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    (result,) = location.deliver()
    begun = {event.step_key for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_START}
    assert begun == {f"raw__{SENDER.name}__{UPLOADS}", f"validated__{SENDER.name}__{UPLOADS}"}


def test_other_feeds_of_the_run_go_on_beside_one_that_is_refused(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    manifest = location.drop(JOBS)
    (result,) = location.deliver()
    assert (result.success, location.live()) == (False, manifest.live)


def test_a_refused_dump_beside_a_good_one_fails_no_step(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.put(upload_name(hour=6), as_csv(upload_lines(3)))
    assert [result.success for result in location.deliver()] == [True]
    assert location.live() == {UPLOADS: 3}


def test_a_refused_dump_fails_the_contract_check(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    (result,) = location.deliver()
    assert not location.checks(result)[VALIDATED, "contract"]


def test_bad_data_is_tried_once(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    (result,) = location.deliver()
    assert result.retry_attempts_for_node(f"validated__{SENDER.name}__{UPLOADS}") == 0


def test_a_refused_dump_is_not_asked_for_again(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.deliver()
    assert (location.look(), location.statuses()) == ([], {DumpStatus.REFUSED: 1})


# ---------------------------------------------------------------------------------------------- two runs at once


@pytest.mark.parametrize("first_again", [False, True])
def test_a_request_that_is_run_twice_loads_once(location: CodeLocation, first_again: bool) -> None:
    location.drop(UPLOADS)
    (first,) = location.look()
    location.run_that_is(dg.DagsterRunStatus.FAILURE, first)
    (second,) = location.look()
    location.run(second)
    location.run(first if first_again else second)
    assert location.loads() == 1
