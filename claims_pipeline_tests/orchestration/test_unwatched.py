"""A sender into whose inbox nothing looks is told, once, whatever the reason; the ticks of a daemon: e2e/test_ui.py."""

from __future__ import annotations

import json
import time
from pathlib import Path

import dagster as dg

from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.unwatched import PATIENCE, Watch, unwatched_sensor
from claims_pipeline_tests.fix_dagster import Configure
from claims_pipeline_tests.fix_listeners import SlackListener

NOON = 1_800_000_000.0
"""Seconds since 1970; any time will do."""

MINUTE = 60.0


def told(minutes: list[int], last_tick: float) -> list[int]:
    """The minutes after noon in which a sender is told, of those in which we look.

    Args:
        minutes: in which we look.
        last_tick: of the sender, in minutes after noon; no other follows.
    """
    found, cursor = [], None
    for minute in minutes:
        now = NOON + minute * MINUTE
        watch = Watch.of(cursor, now)
        if watch.newly_unwatched({"indici": min(NOON + last_tick * MINUTE, now)}, now):
            found.append(minute)
        cursor = f"{watch.begun} {now}"
    return found


def test_a_sender_is_told_once_when_its_patience_has_ended() -> None:
    assert told(list(range(40)), last_tick=5) == [5 + PATIENCE / MINUTE]


def test_a_sender_that_never_ticked_is_told_as_long_after_the_first_look() -> None:
    assert told(list(range(40)), last_tick=-1_000) == [PATIENCE / MINUTE]


def test_a_sender_that_ticks_is_not_told() -> None:
    assert told(list(range(40)), last_tick=40) == []


def test_after_a_pause_of_the_daemon_senders_have_time_to_tick_again() -> None:
    assert told([0, 1, 600, 601, 602], last_tick=1) == []


def test_a_sender_that_stays_silent_after_a_pause_is_told() -> None:
    assert told([0, 1, *range(600, 640)], last_tick=1) == [610]


def test_the_message_names_the_senders_and_comes_once(
    configure: Configure, slack_api: SlackListener, tmp_path: Path
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    now = time.time()
    cursor: str | None = f"{now - PATIENCE - 1} {now - 30}"
    resources = {"pipeline": PipelineResource(s3=InboxS3())}
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for _ in range(2):
            with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
                cursor = unwatched_sensor().evaluate_tick(context).cursor
    (call,) = slack_api.calls
    assert "indici, va_form526" in json.dumps(call.payload)
