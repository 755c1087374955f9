"""What a message says, and that Slack can show it whatever the report holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims_pipeline.alerts.messages import (
    Message,
    crash_message,
    delivery_message,
    digest_message,
    run_message,
    upkeep_message,
    waiting_message,
)
from claims_pipeline.alerts.text import duration
from claims_pipeline.vocabulary import DeliveryNews, DumpReport, DumpStatus, DumpVerdict, RunReport
from claims_pipeline_tests.alerts.reports import (
    ABSENT,
    ATTENTION,
    DAY,
    FAILURE,
    LOADED,
    REFUSED,
    SUCCESS,
    TOO_LATE,
    many_dump_reports,
    run_reports,
    texts,
)

generated = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def texts_of(message: Message) -> list[str]:
    """Every text of the message's blocks."""
    found: list[str] = []
    for block in message.blocks:
        parts: list[Any] = [block.get("text"), *(block.get("elements") or [])]  # type: ignore[misc]  # a block is plain JSON
        found += [part["text"] if isinstance(part["text"], str) else part["text"]["text"] for part in parts if part]
    return found


def said(message: Message) -> str:
    return "\n".join(texts_of(message))


def assert_slack_takes(message: Message) -> None:
    """The limits of the Block Kit reference, and texts that survive mrkdwn and JSON."""
    assert 0 < len(message.text) <= 3000
    assert 0 < len(message.blocks) <= 50
    for block in message.blocks:
        match block:
            case {"type": "header", "text": {"type": "plain_text", "text": str(text)}}:
                assert 0 < len(text) <= 150
            case {"type": "section", "text": {"type": "mrkdwn", "text": str(text)}}:
                assert 0 < len(text) <= 3000
            case {"type": "context", "elements": [{"type": "mrkdwn", "text": str(text)}]}:
                assert 0 < len(text) <= 3000
            case {"type": "actions", "elements": [{"type": "button", "text": {"text": str(text)}, "url": str(url)}]}:
                assert 0 < len(text) <= 75
                assert len(url) <= 3000
            case _:
                pytest.fail("a block of a kind that no message has")
    mrkdwn = [message.text] + [
        text for block, text in zip(message.blocks, texts_of(message), strict=True) if block["type"] != "header"
    ]
    for text in mrkdwn:
        assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", text), "something is not escaped, or an escape is cut"
    json.dumps([message.text, *message.blocks], ensure_ascii=False).encode()


@generated
@given(report=run_reports, title=st.none() | texts)
def test_a_run_message_of_any_report_is_within_slacks_limits(report: RunReport, title: str | None) -> None:
    assert_slack_takes(run_message(report, title=title))


@generated
@given(dumps=many_dump_reports, missing=st.lists(texts, max_size=40))
def test_a_digest_of_any_dumps_is_within_slacks_limits(dumps: list[DumpReport], missing: list[str]) -> None:
    assert_slack_takes(digest_message(day=DAY, dumps=dumps, missing=missing))


@generated
@given(words=st.tuples(texts, texts, texts, texts), feeds=st.lists(texts, max_size=40))
def test_the_other_messages_are_within_slacks_limits(words: tuple[str, str, str, str], feeds: list[str]) -> None:
    run_id, sender, last_step, url = words
    assert_slack_takes(crash_message(run_id=run_id, sender=sender, days=[DAY], last_step=last_step, run_url=url))
    assert_slack_takes(waiting_message(day=DAY, waiting=[(feed, sender) for feed in feeds]))
    late = [dataclasses.replace(TOO_LATE, feed=feed) for feed in feeds] or [TOO_LATE]
    for news in DeliveryNews:
        assert_slack_takes(delivery_message(news=news, deliveries=late, timezone="Pacific/Apia", title=last_step))


@generated
@given(key=texts)
def test_no_key_can_end_its_code_span_or_begin_a_line(key: str) -> None:
    dump = dataclasses.replace(REFUSED, file=key)
    section = next(text for text in texts_of(digest_message(day=DAY, dumps=[dump])) if text.startswith("*Not loaded*"))
    assert section.count("\n") == 1
    assert section.count("`") == 2


@pytest.mark.parametrize(
    ("report", "headline"),
    [
        (SUCCESS, ":white_check_mark: VA, 2026-11-21: all well"),
        (ATTENTION, ":warning: VA, 2026-11-19 to 2026-11-21 (2 delivery days): ended, needs attention"),
        (FAILURE, ":x: VA, 2026-11-21: failed"),
    ],
)
def test_the_headline_tells_outcome_sender_and_days(report: RunReport, headline: str) -> None:
    assert texts_of(run_message(report, title="VA"))[0] == headline


def test_without_a_title_the_senders_identifier_is_told() -> None:
    assert "va_form526" in texts_of(run_message(SUCCESS))[0]


def test_rows_of_a_feed_are_told_by_verdict_without_the_zeros() -> None:
    line = "• `va_form526/submissions`: 12,000 inserted, 342 updated, 3 quarantined; 1 dump (1 new)"
    assert line in said(run_message(SUCCESS)).splitlines()


def test_only_the_five_most_frequent_rules_are_told() -> None:
    dump = dataclasses.replace(LOADED, rejects={f"rule_{n}": n for n in range(1, 9)})
    section = next(
        text for text in texts_of(run_message(dataclasses.replace(SUCCESS, dumps=(dump,)))) if "by rule" in text
    )
    assert section.splitlines()[1:] == [*(f"• `rule_{n}`: {n}" for n in (8, 7, 6, 5, 4)), "and 3 more"]


def test_a_long_list_says_how_many_it_leaves_out() -> None:
    dumps = tuple(dataclasses.replace(REFUSED, file=f"va/claims_{n}.csv") for n in range(32))
    assert "and 12 more" in said(run_message(dataclasses.replace(ATTENTION, dumps=dumps))).splitlines()


def test_a_refused_dump_is_told_with_its_reason() -> None:
    expected = "`va/form526/claims_20261121.csv` (2026-11-21): refused, new: required column claim_id is missing"
    assert expected in said(run_message(ATTENTION))


@pytest.mark.parametrize("verdict", [DumpVerdict.RESENT, DumpVerdict.DUPLICATE])
def test_a_dump_that_needs_nobody_is_not_listed_as_not_loaded(verdict: DumpVerdict) -> None:
    dump = dataclasses.replace(REFUSED, status=DumpStatus.SKIPPED, verdict=verdict)
    assert "Not loaded" not in said(run_message(dataclasses.replace(SUCCESS, dumps=(dump,))))


@pytest.mark.parametrize("verdict", [DumpVerdict.EMPTY, DumpVerdict.HELD, DumpVerdict.UNKNOWN])
def test_a_dump_that_waits_for_a_person_is_listed_as_not_loaded(verdict: DumpVerdict) -> None:
    dump = dataclasses.replace(REFUSED, status=DumpStatus.SKIPPED, verdict=verdict)
    assert "Not loaded" in said(run_message(dataclasses.replace(ATTENTION, dumps=(dump,))))


def test_a_failed_check_is_told_with_its_figures() -> None:
    expected = "`va_form526/submissions` volume_in_range: far fewer rows than usual (rows 12,345, median 99,000)"
    assert expected in said(run_message(ATTENTION))


def test_the_error_of_a_failure_is_told() -> None:
    assert "psycopg.OperationalError in step warehouse" in said(run_message(FAILURE))


def test_the_reports_own_next_step_comes_first() -> None:
    assert "*What to do*\nCall Ann." in said(run_message(dataclasses.replace(FAILURE, next_step="Call Ann.")))


@pytest.mark.parametrize(
    ("report", "step"),
    [
        (SUCCESS, "Nothing to do."),
        (ATTENTION, "Run `claims-pipeline explain va/form526/claims_20261121.csv`"),
        (FAILURE, "Open the run, remove the cause of the error, and run `claims-pipeline catch-up`"),
        (dataclasses.replace(ATTENTION, dumps=(LOADED,)), "Run `claims-pipeline explain va/form526/submissions_2026"),
        (dataclasses.replace(ATTENTION, dumps=()), "Open the run and judge the figures"),
    ],
)
def test_a_report_without_a_next_step_gets_one(report: RunReport, step: str) -> None:
    assert f"*What to do*\n{step}" in said(run_message(report))


HELD = dataclasses.replace(REFUSED, verdict=DumpVerdict.HELD, file="va/held.csv", reason="rows; " * 90 + "`approve 7`")
EMPTY = dataclasses.replace(REFUSED, status=DumpStatus.SKIPPED, verdict=DumpVerdict.EMPTY, file="va/empty.csv")


def test_what_to_do_is_about_the_worst_dump_whatever_came_before() -> None:
    message = run_message(dataclasses.replace(ATTENTION, dumps=(EMPTY, REFUSED)))
    assert f"*What to do*\nRun `claims-pipeline explain {REFUSED.file}`" in said(message)


def test_a_held_dump_asks_for_a_decision() -> None:
    message = run_message(dataclasses.replace(ATTENTION, dumps=(REFUSED, HELD)))
    assert "explain va/held.csv`; who knows the feed then decides: `claims-pipeline approve` loads it" in said(message)


def test_a_long_reason_keeps_its_end_where_the_command_is() -> None:
    assert "…" in (text := said(run_message(dataclasses.replace(ATTENTION, dumps=(HELD,)))))
    assert "'approve 7'" in text


def test_the_notification_says_what_was_not_loaded() -> None:
    message = run_message(dataclasses.replace(FAILURE, dumps=(HELD, EMPTY, HELD, LOADED, REFUSED)))
    assert message.text.endswith("failed. not loaded: 2 held, 1 empty, 1 refused")


def test_a_key_with_spaces_is_quoted_for_the_shell() -> None:
    dump = dataclasses.replace(REFUSED, file="va/my claims.csv")
    assert "claims-pipeline explain 'va/my claims.csv'" in said(
        run_message(dataclasses.replace(ATTENTION, dumps=(dump,)))
    )


def test_a_key_that_cannot_be_copied_is_left_out_of_the_command() -> None:
    dump = dataclasses.replace(REFUSED, file="va/`claims`.csv")
    message = run_message(dataclasses.replace(ATTENTION, dumps=(dump,)))
    assert "`claims-pipeline explain` with the dump's key" in said(message)


def test_the_button_opens_the_run() -> None:
    button = run_message(SUCCESS).blocks[-1]
    assert button["elements"][0]["url"] == "http://127.0.0.1:3000/runs/run-1"  # type: ignore[index]  # a block is plain JSON


def test_without_a_link_there_is_no_button() -> None:
    assert "actions" not in {block["type"] for block in run_message(FAILURE).blocks}


def test_changed_columns_are_told_once() -> None:
    dump = dataclasses.replace(LOADED, drift=("added: shoe_size",))
    message = run_message(dataclasses.replace(SUCCESS, dumps=(dump, dump)))
    assert said(message).count("added: shoe_size") == 1


def test_a_crash_tells_the_last_step_and_what_to_do() -> None:
    message = crash_message(run_id="run-9", sender="va_form526", days=[DAY], last_step="warehouse")
    assert "Its last known step was `warehouse`." in said(message)
    assert "*What to do*\nWait for the retry" in said(message)


def test_a_crash_before_the_first_step_says_so() -> None:
    assert "No step of it is known to have begun." in said(crash_message(run_id="run-9", sender="indici", days=[]))


def test_missing_dumps_are_told_with_the_time_they_were_due() -> None:
    message = delivery_message(news=DeliveryNews.MISSING, deliveries=[ABSENT], timezone="America/New_York")
    assert texts_of(message)[0] == ":hourglass: va_form526, 2026-11-21: 1 feed missing"
    assert "• `va_form526/submissions` of 2026-11-21: due by 2026-11-21 09:00 EST" in said(message)


def test_days_that_are_missing_are_told_in_one_message() -> None:
    days = [dataclasses.replace(ABSENT, day=DAY - dt.timedelta(days=n)) for n in range(3)]
    message = delivery_message(news=DeliveryNews.MISSING, deliveries=days, timezone="UTC")
    assert texts_of(message)[0] == (
        ":hourglass: va_form526, 2026-11-19 to 2026-11-21 (3 delivery days): 1 feed missing"
    )


def test_of_a_delivery_that_is_partly_there_it_is_told_how_much() -> None:
    half = dataclasses.replace(ABSENT, dumps_due=2, dumps=1)
    message = delivery_message(news=DeliveryNews.MISSING, deliveries=[half], timezone="UTC")
    assert "1 of 2 dumps there" in said(message)


def test_a_late_delivery_is_told_with_how_late_it_is_by_the_senders_clock() -> None:
    message = delivery_message(news=DeliveryNews.RECOVERED, deliveries=[TOO_LATE], timezone="America/New_York")
    late = "`va_form526/submissions` of 2026-11-21: arrived 3 h 10 min late"
    assert f"{late} (came 2026-11-21 12:10 EST, due by 2026-11-21 09:00 EST)" in said(message)
    assert message.text.endswith(f"{late} (came 2026-11-21 12:10 EST, due by 2026-11-21 09:00 EST)")


def test_surplus_dumps_are_told_with_their_number() -> None:
    twice = dataclasses.replace(TOO_LATE, dumps=2)
    message = delivery_message(news=DeliveryNews.DOUBLE, deliveries=[twice], timezone="UTC", title="VA claims")
    assert texts_of(message)[0] == ":heavy_plus_sign: VA claims, 2026-11-21: 1 feed delivered more dumps than are due"
    assert "2 dumps, 1 due" in said(message)


def test_a_digest_of_a_good_day_asks_for_nothing() -> None:
    message = digest_message(day=DAY, dumps=[LOADED])
    assert texts_of(message)[0] == ":white_check_mark: Digest of 2026-11-21: 1 dump, 0 not loaded, 0 feeds missing"
    assert "Nothing to do." in said(message)


def test_a_digest_names_the_feeds_that_are_missing() -> None:
    message = digest_message(day=DAY, dumps=[LOADED, REFUSED], missing=["indici/patients"])
    assert texts_of(message)[0] == ":warning: Digest of 2026-11-21: 2 dumps, 1 not loaded, 1 feed missing"
    assert "• `indici/patients`" in said(message)


# ------------------------------------------------------------------------------------------ upkeep


@pytest.mark.parametrize(("task", "command"), [("backup", "backup now"), ("restore_drill", "backup drill")])
def test_a_failed_task_of_upkeep_says_what_to_do(task: str, command: str) -> None:
    message = upkeep_message(task=task, error="no room", run_id="r1", run_url="http://localhost/runs/r1")
    assert (f"`claims-pipeline {command}`" in said(message), "no room" in said(message)) == (True, True)


def test_a_task_of_upkeep_that_nobody_described_is_told_too() -> None:
    message = upkeep_message(task="sweep <b>", error="", run_id="r1")
    assert ("sweep" in message.text, "<b>" in message.text, "What to do" in said(message)) == (True, False, True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (102, "1 min 42 s"), (7380, "2 h 3 min"), (47 * 3600, "47 h 0 min"), (435_600, "5 d 1 h")],
)
def test_a_duration_reads_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
