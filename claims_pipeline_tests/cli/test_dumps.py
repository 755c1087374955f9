"""The commands about dumps, on a real inbox and database."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from claims_pipeline.feeds import all_senders
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import (
    DAY,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_events import Cloud
from claims_pipeline_tests.fix_listeners import SlackListener

NO_COLUMN = b"submission_id,attachment_id,file_name\n1000001,L015,a.pdf\n"
OVER_BUDGET = as_csv([*upload_lines(3), *(f"{n},no-code,L015,a.pdf" for n in range(1, 151))])
NAME = upload_name().rpartition("/")[2]


@pytest.fixture
def held(location: CodeLocation) -> CodeLocation:
    """A code location with one dump that waits for a person."""
    location.put(upload_name(), OVER_BUDGET)
    assert call("catch-up").exit_code == 1
    return location


# ---------------------------------------------------------------------------------------------- catch-up


def test_catch_up_loads_what_has_arrived(location: CodeLocation) -> None:
    manifest = location.drop(days=2, rows=30, dirt=0.05)
    call("catch-up")
    assert location.live() == {dataset: rows for dataset, rows in manifest.live.items() if rows}


def test_catch_up_ends_with_0_when_all_is_well(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    assert call("catch-up").exit_code == 0


def test_catch_up_of_an_empty_inbox_ends_with_0(location: CodeLocation) -> None:
    result = call("catch-up")
    assert (result.exit_code, f"{SENDER.name}: nothing new." in result.stdout) == (0, True)


def test_catch_up_empties_the_events_queue(location: CodeLocation, configure: Configure, cloud: Cloud) -> None:
    queue, sqs = cloud.queue(), cloud.client("sqs")
    configure(events_queue_url=queue)
    s3 = {"bucket": {"name": location.inbox}, "object": {"key": location.put(upload_name(), as_csv(upload_lines()))}}
    event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    result = call("catch-up")
    assert ("heard 1 messages (new 1)" in result.stderr, location.statuses()) == (True, {DumpStatus.LOADED: 1})
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_catch_up_without_its_events_queue_loads_all_the_same(
    location: CodeLocation, configure: Configure, cloud: Cloud
) -> None:
    configure(events_queue_url=f"{cloud.url}/123456789012/gone")
    location.put(upload_name(), as_csv(upload_lines()))
    result = call("catch-up")
    assert ("events not heard" in result.stderr, location.statuses()) == (True, {DumpStatus.LOADED: 1})


def test_catch_up_a_second_time_finds_nothing_new(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    call("catch-up")
    assert f"{SENDER.name}: nothing new." in call("catch-up").stdout


def test_catch_up_ends_with_1_when_a_dump_was_refused(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    assert call("catch-up").exit_code == 1


def test_catch_up_ends_with_1_when_a_dump_is_unknown(location: CodeLocation) -> None:
    location.put("strange/export.csv", b"a\n1\n")
    assert call("catch-up").exit_code == 1


def test_catch_up_tells_of_an_unknown_dump_by_name(location: CodeLocation) -> None:
    key = location.put("strange/export.csv", b"a\n1\n")
    assert key in call("catch-up", "--json").stdout


def test_catch_up_ends_with_3_when_the_database_cannot_be_reached(location: CodeLocation, configure: Configure) -> None:
    configure(database_url="postgresql://nobody@127.0.0.1:9/none")
    assert call("catch-up").exit_code == 3


def test_catch_up_ends_with_3_when_the_inbox_is_missing(location: CodeLocation, configure: Configure) -> None:
    configure(inbox_bucket="no-such-bucket")
    result = call("catch-up")
    assert (result.exit_code, "no-such-bucket" in result.stderr) == (3, True)


def test_what_fails_for_one_sender_keeps_no_other_from_being_loaded(location: CodeLocation) -> None:
    # The ledger takes nothing of the first sender.
    first = all_senders()[0]
    assert first != SENDER
    with location.pipeline.services.owner_database() as connection:
        connection.execute(f"alter table ops.dump add check (sender <> '{first.name}')".encode())
    location.pipeline.services.s3.put_object(Bucket=location.inbox, Key=f"{first.prefix}anything.parquet", Body=b"")
    location.put(upload_name(), as_csv(upload_lines()))
    result = call("catch-up")
    assert (result.exit_code, f"{first.name} was not worked off" in result.stderr) == (3, True)
    assert location.statuses() == {DumpStatus.LOADED: 1}


def test_catch_up_of_an_unknown_sender_names_the_known_ones(location: CodeLocation) -> None:
    result = call("catch-up", "--sender", "nobody")
    assert (result.exit_code, SENDER.name in result.stderr) == (3, True)


def test_catch_up_reports_as_json(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines(7)))
    (report,) = call_json("catch-up", "--sender", SENDER.name)
    assert (report["outcome"], report["dumps"][0]["rows"]["inserted"]) == ("success", 7)


def test_catch_up_tells_slack_without_a_link_since_dagster_knows_nothing_of_it(
    location: CodeLocation, configure: Configure, slack_api: SlackListener
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    location.put(upload_name(), as_csv(upload_lines(7)))
    call("catch-up")
    # Before and after the hour at which dumps are due: what is missing today is told besides.
    (message,) = [one for one in slack_api.calls if " missing" not in one.payload["text"]]
    assert ("7 inserted" in str(message.payload), "/runs/" in str(message.payload)) == (True, False)


def test_what_catch_up_has_loaded_dagster_does_not_ask_for(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    call("catch-up")
    assert location.look() == []


# ---------------------------------------------------------------------------------------------- status


def test_status_names_every_feed_before_the_first_dump(location: CodeLocation) -> None:
    found = {line["status"]["feed"]: line["status"]["dumps_loaded"] for line in call_json("status")}
    assert found[f"{SENDER.name}/{UPLOADS}"] == 0


def test_status_tells_how_far_a_feed_is(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    call("catch-up")
    (line,) = [line for line in call_json("status") if line["status"]["dumps_loaded"]]
    assert (line["status"]["feed"], line["status"]["last_loaded_day"]) == (f"{SENDER.name}/{UPLOADS}", str(DAY))


def test_status_is_a_table_for_people(location: CodeLocation) -> None:
    location.put("strange/export.csv", b"a\n1\n")
    call("catch-up")
    result = call("status")
    assert (result.exit_code, "feeds" in result.stdout) == (0, True)


# ---------------------------------------------------------------------------------------------- explain


@pytest.mark.parametrize("word", ["number", "file name", "key"])
def test_explain_finds_a_dump_by(location: CodeLocation, word: str) -> None:
    key = location.put(upload_name(), as_csv(upload_lines(7)))
    call("catch-up")
    (dump,) = location.dumps()
    (story,) = call_json("explain", {"number": str(dump.dump_id), "file name": NAME, "key": key}[word])
    assert (story["dump"]["key"], story["loads"][0]["rows_inserted"]) == (key, 7)


def test_explain_of_an_unknown_name_ends_with_1(location: CodeLocation) -> None:
    result = call("explain", "nothing.csv")
    assert (result.exit_code, "No dump is named nothing.csv" in result.stderr) == (1, True)


def test_explain_tells_people_which_rules_set_rows_apart(held: CodeLocation) -> None:
    shown = call("explain", NAME).stdout
    assert ("rejects_within_budget" in shown, "refused" in shown) == (True, True)


def test_explain_counts_quarantined_rows_by_rule(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv([*upload_lines(3), "7,no-code,L015,a.pdf"]))
    call("catch-up")
    (story,) = call_json("explain", NAME)
    assert story["quarantine"] == {"confirmation_code.str_matches": 1}


def test_explain_shows_no_value_of_a_record(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv([*upload_lines(3, file_name="Zqxcanary.pdf"), "7,Zqxcanary,L015,a.pdf"]))
    shown = call("catch-up").output + call("explain", NAME).output + json.dumps(call_json("explain", NAME))
    assert "Zqxcanary" not in shown


# ---------------------------------------------------------------------------------------------- held, refused, failed


def test_a_dump_over_its_budget_waits_for_a_person(held: CodeLocation) -> None:
    assert [(dump.status, dump.verdict) for dump in held.dumps()] == [(DumpStatus.REFUSED, DumpVerdict.HELD)]


def test_approve_releases_a_held_dump(held: CodeLocation) -> None:
    assert call("approve", NAME, "--reason", "known defect").exit_code == 0
    call("catch-up")
    assert held.live() == {UPLOADS: 3}


def test_approve_notes_who_did_it(held: CodeLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_ACTOR", "an operator")
    call("approve", NAME, "--reason", "known defect")
    assert [dump.approved_by for dump in held.dumps()] == ["an operator"]


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_no_decision_without_a_reason(held: CodeLocation, command: str) -> None:
    assert call(command, NAME).exit_code == 2
    assert [dump.verdict for dump in held.dumps()] == [DumpVerdict.HELD]


def test_reject_refuses_a_held_dump_for_good(held: CodeLocation) -> None:
    assert call("reject", NAME, "--reason", "wrong file").exit_code == 0
    call("catch-up")
    assert (held.live(), held.statuses()) == ({}, {DumpStatus.REFUSED: 1})


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_only_held_dumps_can_be_decided_on(location: CodeLocation, command: str) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    call("catch-up")
    result = call(command, NAME, "--reason", "ticket 12")
    assert (result.exit_code, f"{NAME} is held: dump 1 is loaded" in " ".join(result.stderr.split())) == (3, True)


def test_retry_takes_up_a_refused_dump_again(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    call("catch-up")
    assert call("retry", NAME).exit_code == 0
    assert [dump.is_open for dump in location.dumps()] == [True]


def test_retry_of_a_loaded_dump_is_refused(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    call("catch-up")
    assert call("retry", NAME).exit_code == 3


def test_a_name_of_two_dumps_is_not_decided_on(location: CodeLocation) -> None:
    location.put(upload_name(), NO_COLUMN)
    call("catch-up")
    location.put(upload_name(), NO_COLUMN.replace(b"a.pdf", b"another.pdf"))
    call("catch-up")
    result = call("retry", NAME)
    assert (result.exit_code, "2 dumps are named" in result.stderr) == (3, True)


def test_a_dump_of_a_day_to_come_is_refused_and_can_be_retried(location: CodeLocation) -> None:
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)
    location.put(upload_name(day), as_csv(upload_lines()))
    assert call("catch-up").exit_code == 1
    assert location.statuses() == {DumpStatus.REFUSED: 1}


# ---------------------------------------------------------------------------------------------- migrate


def test_migrate_builds_an_empty_database_then_has_nothing_to_do(configure: Configure, database_url: str) -> None:
    configure(database_url=database_url)
    assert "applied" in call("migrate").stdout
    assert call("migrate").stdout.strip() == "the database is up to date"


def test_a_database_that_was_not_migrated_is_not_loaded_into(
    location: CodeLocation, configure: Configure, database_url: str
) -> None:
    configure(database_url=database_url)
    result = call("catch-up")
    assert (result.exit_code, "claims-pipeline migrate" in " ".join(result.stderr.split())) == (3, True)
