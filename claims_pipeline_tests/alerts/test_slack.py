"""Slack over real HTTP: what is sent, and that nothing that Slack does reaches the load."""

from __future__ import annotations

import logging

import pytest

from claims_pipeline.alerts import Posted, SlackSink
from claims_pipeline.alerts.messages import run_message
from claims_pipeline_tests.alerts.reports import ATTENTION, SUCCESS
from claims_pipeline_tests.fix_listeners import (
    INVALID_AUTH,
    SERVER_ERROR,
    SILENCE,
    SlackAnswer,
    SlackListener,
    rate_limited,
)

TOKEN = "canary-token-4711"
MESSAGE = run_message(SUCCESS)


def sink(slack_api: SlackListener, *, timeout: int = 60, patience: float = 60) -> SlackSink:
    """A sink with time enough for a slow machine, unless the test is about time."""
    return SlackSink(TOKEN, "#claims", base_url=slack_api.base_url, timeout=timeout, patience=patience)


def test_a_message_is_posted_with_its_token_text_and_blocks(slack_api: SlackListener) -> None:
    sink(slack_api).post(MESSAGE)
    (call,) = slack_api.calls
    assert call.method == "chat.postMessage"
    assert call.authorization == f"Bearer {TOKEN}"
    sent = {name: call.payload[name] for name in ("channel", "text", "blocks")}
    assert sent == {"channel": "#claims", "text": MESSAGE.text, "blocks": list(MESSAGE.blocks)}


def test_a_posted_message_is_known_by_the_channels_id(slack_api: SlackListener) -> None:
    assert sink(slack_api).post(MESSAGE) == Posted(channel="C0CLAIMS", ts="1700000000.000001")


def test_an_update_changes_the_message_that_is_there(slack_api: SlackListener) -> None:
    slack = sink(slack_api)
    posted = slack.post(MESSAGE)
    assert posted is not None
    assert slack.update(posted, run_message(ATTENTION)) == posted
    assert slack_api.methods == ["chat.postMessage", "chat.update"]
    assert (slack_api.calls[1].payload["channel"], slack_api.calls[1].payload["ts"]) == (posted.channel, posted.ts)


def test_a_message_that_was_deleted_is_posted_anew(slack_api: SlackListener) -> None:
    slack_api.will_answer(SlackAnswer(error="message_not_found"))
    posted = sink(slack_api).update(Posted(channel="C0CLAIMS", ts="1.0"), MESSAGE)
    assert slack_api.methods == ["chat.update", "chat.postMessage"]
    assert posted == Posted(channel="C0CLAIMS", ts="1700000000.000002")


def test_a_layout_that_slack_refuses_is_sent_as_text(slack_api: SlackListener) -> None:
    slack_api.will_answer(SlackAnswer(error="invalid_blocks"))
    assert sink(slack_api).post(MESSAGE) is not None
    assert (slack_api.calls[1].payload["blocks"], slack_api.calls[1].payload["text"]) == ([], MESSAGE.text)


def test_a_rate_limit_is_waited_for(slack_api: SlackListener) -> None:
    slack_api.will_answer(rate_limited("0"))
    assert sink(slack_api).post(MESSAGE) is not None
    assert slack_api.methods == ["chat.postMessage"] * 2


@pytest.mark.parametrize("retry_after", ["3600", "Sat, 21 Nov 2026 09:00:00 GMT"])
def test_a_long_rate_limit_is_not_waited_for(slack_api: SlackListener, retry_after: str) -> None:
    slack_api.will_answer(rate_limited(retry_after))
    assert sink(slack_api).post(MESSAGE) is None
    assert len(slack_api.calls) == 1


def test_a_server_error_is_tried_again(slack_api: SlackListener) -> None:
    slack_api.will_answer(SERVER_ERROR)
    assert sink(slack_api).post(MESSAGE) is not None


def test_without_patience_left_nothing_is_tried_again(slack_api: SlackListener) -> None:
    slack_api.will_answer(SERVER_ERROR)
    assert sink(slack_api, patience=0).post(MESSAGE) is None
    assert len(slack_api.calls) == 1


def test_a_server_that_is_down_is_logged_and_not_raised(
    slack_api: SlackListener, caplog: pytest.LogCaptureFixture
) -> None:
    slack_api.stop()
    assert sink(slack_api, patience=0).post(MESSAGE) is None
    assert caplog.messages == ["Slack could not be reached: urllib.error.URLError; loading goes on"]


def test_a_server_that_does_not_answer_is_given_up(slack_api: SlackListener, caplog: pytest.LogCaptureFixture) -> None:
    slack_api.will_answer(SILENCE)
    assert sink(slack_api, timeout=1, patience=0).post(MESSAGE) is None
    assert caplog.messages == ["Slack could not be reached: builtins.TimeoutError; loading goes on"]


def test_a_post_that_timed_out_is_not_repeated_since_slack_may_have_taken_it(slack_api: SlackListener) -> None:
    slack_api.will_answer(SILENCE)
    sink(slack_api, timeout=1).post(MESSAGE)
    assert len(slack_api.calls) == 1


def test_a_refused_token_is_logged_once_and_without_the_token(
    slack_api: SlackListener, caplog: pytest.LogCaptureFixture
) -> None:
    slack_api.will_answer(INVALID_AUTH, INVALID_AUTH)
    slack = sink(slack_api)
    assert (slack.post(MESSAGE), slack.post(MESSAGE)) == (None, None)
    assert caplog.messages == ["Slack refused the message: invalid_auth; loading goes on"]


def test_the_text_of_an_answer_that_is_not_slacks_is_not_logged(
    slack_api: SlackListener, caplog: pytest.LogCaptureFixture
) -> None:
    slack_api.will_answer(SlackAnswer(status=502, text="a gateway's page that quotes the request"))
    sink(slack_api).post(MESSAGE)
    assert caplog.messages == ["Slack refused the message: HTTP 502; loading goes on"]


def test_an_answer_in_json_that_is_not_slacks_is_not_raised(slack_api: SlackListener) -> None:
    slack_api.will_answer(SlackAnswer(status=500, text="[]"))
    assert sink(slack_api, patience=0).post(MESSAGE) is None


@pytest.mark.parametrize("answer", [SlackAnswer(), INVALID_AUTH, SERVER_ERROR, SILENCE])
def test_even_at_debug_neither_token_nor_message_is_logged(
    slack_api: SlackListener, caplog: pytest.LogCaptureFixture, answer: SlackAnswer
) -> None:
    caplog.set_level(logging.DEBUG)
    slack_api.will_answer(answer)
    sink(slack_api, timeout=1, patience=0).post(MESSAGE)
    assert TOKEN not in caplog.text
    assert "va_form526" not in caplog.text


def test_a_token_that_no_header_can_hold_is_not_quoted(
    slack_api: SlackListener, caplog: pytest.LogCaptureFixture
) -> None:
    slack = SlackSink("canary-4711\nsecond line", "#claims", base_url=slack_api.base_url)
    assert slack.post(MESSAGE) is None
    assert len(caplog.messages) == 1
    assert "canary" not in caplog.text


@pytest.mark.usefixtures("fresh_alerts")
@pytest.mark.parametrize("token", [None, "", " "])
def test_without_a_token_slack_is_off_and_says_so_once(caplog: pytest.LogCaptureFixture, token: str | None) -> None:
    caplog.set_level(logging.INFO)
    sinks = [SlackSink(token, "#claims"), SlackSink(token, "#claims")]
    assert [slack.post(MESSAGE) for slack in sinks] == [None, None]
    assert caplog.messages == ["Slack is off: no token is set"]


@pytest.mark.usefixtures("fresh_alerts")
def test_a_base_url_that_is_no_api_root_switches_slack_off(caplog: pytest.LogCaptureFixture) -> None:
    assert SlackSink(TOKEN, "#claims", base_url="http://127.0.0.1/").post(MESSAGE) is None
    assert caplog.messages == ["Slack is off: the base URL must end in /api/"]
