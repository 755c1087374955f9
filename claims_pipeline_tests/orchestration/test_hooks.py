"""What runs tell people: real runs, over real HTTP and UDP."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.hooks import steps_left
from claims_pipeline_tests.fix_dagster import (
    DAY,
    JOBS,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_listeners import SlackAnswer, SlackListener, StatsdListener

CANARY = "Zqxcanary"
NO_COLUMN = f"submission_id,attachment_id,file_name\n1000001,L015,{CANARY}.pdf\n".encode()


@pytest.fixture
def told(location: CodeLocation, configure: Configure, slack_api: SlackListener) -> SlackListener:
    """The channel that the code location tells."""
    configure(
        slack_token="xoxb-test",
        slack_base_url=slack_api.base_url,
        slack_channel="#claims",
        dagster_url="https://dagster.example",
    )
    return slack_api


# ---------------------------------------------------------------------------------------------- steps_left: pure

FEED_STEPS = ("raw__va__a", "validated__va__a", "va__a")
PLANNED = {*FEED_STEPS, "raw__va__b", "validated__va__b", "va__b"}


def test_all_steps_are_left_before_the_first_has_ended() -> None:
    assert steps_left(PLANNED, {}) == PLANNED


def test_no_step_is_left_when_all_have_ended() -> None:
    assert steps_left(PLANNED, dict.fromkeys(PLANNED, True)) == set()


def test_what_follows_a_failed_step_is_not_waited_for() -> None:
    assert steps_left(set(FEED_STEPS), {"raw__va__a": False}) == set()


def test_a_failed_feed_leaves_the_steps_of_others() -> None:
    assert steps_left(PLANNED, {"raw__va__a": False}) == {"raw__va__b", "validated__va__b", "va__b"}


@given(st.permutations(("a", "b", "c")), st.sets(st.sampled_from(("raw__va__a", "validated__va__b", "va__c"))))
def test_exactly_one_step_of_a_run_is_its_last(order: list[str], failing: set[str]) -> None:
    planned = {step.replace("__a", f"__{name}") for name in order for step in FEED_STEPS}
    ended: dict[str, bool] = {}
    last = 0
    for name in order:
        for step in (step.replace("__a", f"__{name}") for step in FEED_STEPS):
            ended[step] = step not in failing
            last += not steps_left(planned, ended)
            if step in failing:
                break
    assert last == 1


# ---------------------------------------------------------------------------------------------- messages


def test_a_run_of_several_feeds_sends_one_message(location: CodeLocation, told: SlackListener) -> None:
    location.drop(UPLOADS, JOBS)
    location.deliver()
    assert told.methods == ["chat.postMessage"]


def test_the_message_of_a_good_run_tells_its_rows(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), as_csv(upload_lines(7)))
    location.deliver()
    assert ":white_check_mark:" in told.calls[0].payload["text"]
    assert "7 inserted" in str(told.calls[0].payload["blocks"])


def test_the_message_links_to_its_run(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    (result,) = location.deliver()
    assert f"https://dagster.example/runs/{result.run_id}" in str(told.calls[0].payload["blocks"])


def test_a_refused_dump_beside_a_good_one_wants_attention(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.put(upload_name(hour=6), as_csv(upload_lines()))
    location.deliver()
    assert [":warning:" in call.payload["text"] for call in told.calls] == [True]


def test_a_run_whose_step_failed_says_so_once(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.deliver()
    assert [":x:" in call.payload["text"] for call in told.calls] == [True]


def test_a_failed_feed_before_a_good_one_is_still_one_message(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), NO_COLUMN)
    location.drop(JOBS)
    location.deliver()
    assert [":x:" in call.payload["text"] for call in told.calls] == [True]


def test_a_day_by_hand_is_told_too(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.by_hand(UPLOADS)
    assert [SENDER.title in call.payload["text"] for call in told.calls] == [True]


def test_a_day_by_hand_without_a_dump_is_told_with_its_reason(location: CodeLocation, told: SlackListener) -> None:
    location.by_hand(UPLOADS)
    assert [f"has arrived for {DAY}" in str(call.payload["blocks"]) for call in told.calls] == [True]


def test_no_message_holds_a_value_of_a_record(location: CodeLocation, told: SlackListener) -> None:
    spoilt = upload_lines(3, file_name=f"{CANARY}.pdf")
    spoilt.append(f"1000009,{CANARY},L015,{CANARY}.pdf")
    spoilt.append(f"{CANARY},00000000-0000-4000-8000-000000000099,{CANARY},x.pdf")
    location.put(upload_name(), as_csv(spoilt))
    location.put(upload_name(hour=6), NO_COLUMN)
    location.deliver()
    said = str([call.payload for call in told.calls])
    assert ("confirmation_code" in said, CANARY in said) == (True, False)


def test_metrics_of_a_run_go_out_by_udp(location: CodeLocation, configure: Configure, statsd: StatsdListener) -> None:
    configure(datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port)
    location.put(upload_name(), as_csv(upload_lines(7)))
    location.deliver()
    rows = {m.tags["verdict"]: m.value for m in statsd.metrics() if m.name == "claims.rows"}
    assert rows["inserted"] == 7


# ---------------------------------------------------------------------------------------------- alerts that fail


def test_a_run_whose_slack_refuses_loads_all_the_same(location: CodeLocation, told: SlackListener) -> None:
    told.will_answer(SlackAnswer(error="channel_not_found"))
    location.put(upload_name(), as_csv(upload_lines(7)))
    assert [result.success for result in location.deliver()] == [True]
    assert location.live() == {UPLOADS: 7}


def test_a_run_whose_slack_is_down_loads_all_the_same(location: CodeLocation, told: SlackListener) -> None:
    told.stop()
    location.put(upload_name(), as_csv(upload_lines(7)))
    assert [result.success for result in location.deliver()] == [True]


def test_without_a_token_slack_is_off_and_says_so_once(
    location: CodeLocation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    location.put(upload_name(), as_csv(upload_lines(7)))
    assert [result.success for result in location.deliver()] == [True]
    location.by_hand(UPLOADS)
    assert len([r for r in caplog.records if r.getMessage() == "Slack is off: no token is set"]) == 1


def test_in_quiet_mode_a_good_run_sends_no_message(
    location: CodeLocation, configure: Configure, told: SlackListener
) -> None:
    configure(slack_quiet="true")
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    assert told.calls == []
