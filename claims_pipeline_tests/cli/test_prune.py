"""`claims-pipeline prune` on a real archive and database."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.landing.s3 import list_objects
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Arrival
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import DAY, UPLOADS, CodeLocation

LONG_AGO = dt.datetime(2024, 5, 4, tzinfo=dt.UTC)


@pytest.fixture
def frames(location: CodeLocation) -> CodeLocation:
    """A dump that was loaded long ago, and its frames."""
    arrival = Arrival("va_form526", UPLOADS, location.inbox, "526/a.csv", "e", 1, LONG_AGO, DAY, LONG_AGO)
    with location.database() as connection:
        dump = ledger.register(connection, [arrival])[0]
        folder = f"validated/va_form526/{UPLOADS}/year=2026/month=05/day=04/dump={dump.dump_id}/abcdefabcdef"
        connection.execute(
            "update ops.dump set status = 'loaded', settled_at = %s, validated_key = %s where dump_id = %s",
            [LONG_AGO, folder, dump.dump_id],
        )
    location.s3.put_object(Bucket=get_settings().archive_bucket, Key=f"{folder}/rows.parquet", Body=b"123")
    return location


def left(location: CodeLocation) -> int:
    """Objects in the archive."""
    return sum(len(page) for page in list_objects(location.s3, get_settings().archive_bucket, ""))


def test_without_apply_nothing_is_deleted(frames: CodeLocation) -> None:
    result = call("prune")
    assert (result.exit_code, left(frames), "Nothing was deleted" in result.stdout) == (0, 1, True), result.stderr


def test_with_apply_it_is_deleted(frames: CodeLocation) -> None:
    assert (call("prune", "--apply").exit_code, left(frames)) == (0, 0)


def test_the_figures_are_there_for_programs(frames: CodeLocation) -> None:
    (found,) = [one for one in call_json("prune") if one["kind"] == "validated_frames"]
    assert (found["dry_run"], found["items"], found["bytes"], found["error"]) == (True, 1, 3, "")


def test_who_asked_is_in_the_audit(frames: CodeLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_ACTOR", "ada")
    call("prune")
    with frames.database() as connection:
        assert connection.execute("select distinct requested_by, dry_run from ops.upkeep").fetchall() == [("ada", True)]


def test_explain_says_what_was_pruned(frames: CodeLocation) -> None:
    call("prune", "--apply")
    assert "its validated frames were pruned on" in call("explain", "a.csv").stdout


def test_retry_of_a_dump_without_its_bytes_says_why_not(frames: CodeLocation) -> None:
    with frames.database() as connection:
        connection.execute("update ops.dump set status = 'refused', raw_pruned_at = now()")
    result = call("retry", "a.csv")
    assert (result.exit_code, "by retention, and cannot be read again" in " ".join(result.stderr.split())) == (3, True)


def test_dagsters_storage_is_left_out_where_there_is_none(location: CodeLocation) -> None:
    kinds = {one["kind"] for one in call_json("prune")}
    assert kinds & {"raw_bytes", "dagster_runs", "compute_logs"} == {"raw_bytes"}


def test_dagsters_storage_is_pruned_where_it_is_in_the_state_folder(location: CodeLocation) -> None:
    (get_settings().state_dir / "dagster").mkdir(parents=True)
    kinds = {one["kind"] for one in call_json("prune")}
    assert {"dagster_runs", "compute_logs"} <= kinds


def test_what_cannot_be_done_ends_with_3(location: CodeLocation) -> None:
    location.s3.delete_bucket(Bucket=get_settings().archive_bucket)
    assert call("prune").exit_code == 3


def test_what_cannot_be_done_does_not_stop_the_rest(location: CodeLocation) -> None:
    location.s3.delete_bucket(Bucket=get_settings().archive_bucket)
    failed = {one["kind"]: bool(one["error"]) for one in call_json("prune")}
    assert (failed["incomplete_uploads"], failed["messages"]) == (True, False)
