"""The Slack Web API: one call, its retries within a deadline, and the reason of a refusal.

Belongs here: all that needs slack_sdk, so that only processes that post import it. Does not belong here: what follows
from a refusal (`slack`), what is said (`messages`).
"""

from __future__ import annotations

import logging
import re
import time

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryHandler, RetryState
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)

from claims_pipeline.alerts.messages import Message, Posted

__all__ = ["SlackApiError", "reason", "send"]

MAX_RETRIES = 3


def send(
    message: Message, posted: Posted | None, *, token: str, channel: str, base_url: str, timeout: int, patience: float
) -> Posted:
    """Post a message, or put it in the place of one.

    Args:
        message: what to say.
        posted: the message to replace; None for a new one.
        token: bot token with chat:write.
        channel: name or id, for a new message.
        base_url: root of the Slack API, ending in /api/.
        timeout: seconds for each read or write of one attempt.
        patience: seconds after which no further attempt is begun.

    Raises:
        SlackApiError: Slack refused it.
        Exception: whatever urllib, http.client and json raise where Slack cannot be reached.
    """
    client = _client(token=token, base_url=base_url, timeout=timeout, patience=patience)
    if posted is None:
        answer = client.chat_postMessage(
            channel=channel, text=message.text, blocks=list(message.blocks), unfurl_links=False, unfurl_media=False
        )
    else:
        answer = client.chat_update(
            channel=posted.channel, ts=posted.ts, text=message.text, blocks=list(message.blocks)
        )
    return Posted(channel=str(answer["channel"]), ts=str(answer["ts"]))


def reason(error: SlackApiError) -> str:
    """Slack's error code; the HTTP status where the answer is not Slack's, since its text may hold anything."""
    code = error.response.get("error")
    if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,60}", code):
        return code
    return f"HTTP {error.response.status_code}"


def _client(*, token: str, base_url: str, timeout: int, patience: float) -> WebClient:
    """A client for one message: its retries share one deadline."""
    deadline = time.monotonic() + patience
    return WebClient(
        token=token,
        base_url=base_url,
        timeout=timeout,
        # A logger of its own that is off: at DEBUG slack_sdk logs whole messages, and at ERROR what it retries.
        logger=logging.Logger("slack_sdk", level=logging.CRITICAL + 1),
        retry_handlers=[
            _WithinPatience(handler, deadline)
            for handler in (
                RateLimitErrorRetryHandler(max_retry_count=MAX_RETRIES),
                ServerErrorRetryHandler(max_retry_count=MAX_RETRIES),
                ConnectionErrorRetryHandler(max_retry_count=MAX_RETRIES),
            )
        ],
    )


class _WithinPatience(RetryHandler):
    """slack_sdk's handler decides whether another attempt can help, this one whether there is time for it.

    By itself slack_sdk sleeps as long as Slack's Retry-After says, half a minute at times.
    """

    def __init__(self, handler: RetryHandler, deadline: float) -> None:
        super().__init__(max_retry_count=handler.max_retry_count)
        self._handler = handler
        self._deadline = deadline

    def _can_retry(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        if not self._handler.can_retry(state=state, request=request, response=response, error=error):
            return False
        return time.monotonic() + _pause(state, response) < self._deadline

    def prepare_for_next_attempt(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        self._handler.prepare_for_next_attempt(state=state, request=request, response=response, error=error)


def _pause(state: RetryState, response: HttpResponse | None) -> float:
    """The longest that slack_sdk will sleep before the next attempt, in seconds."""
    asked = (response.headers.get("Retry-After") if response is not None else None) or []
    if not asked:
        return float(0.5 * 2**state.current_attempt + 1)  # its backoff and jitter
    # A date instead of seconds is allowed by HTTP and not understood by slack_sdk: no time for it.
    return int(asked[0]) + 1.0 if asked[0].isdigit() else float("inf")
