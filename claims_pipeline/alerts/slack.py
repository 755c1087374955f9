"""Slack: one message posted or updated, within a few seconds, and never an exception.

Belongs here: the Slack Web API, its retries and its refusals. Does not belong here: what is said (`messages`), and
whether to say it (`router`).
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryHandler, RetryState
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)

from claims_pipeline.alerts.messages import Message
from claims_pipeline.alerts.once import say_once
from claims_pipeline.errors import safe_text

MAX_RETRIES = 3

# Slack's error codes: those that posting a new message cures, and those that leaving out the blocks does.
_CANNOT_UPDATE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})


@dataclass(frozen=True)
class Posted:
    """A message that is in Slack, to be updated later.

    Attributes:
        channel: the channel's id as Slack answered it: chat.update does not take a name.
        ts: Slack's id of the message within the channel.
    """

    channel: str
    ts: str


class SlackSink:
    """A channel that takes messages. Without a token it says so once and takes none."""

    def __init__(
        self, token: str | None, channel: str, *, base_url: str | None = None, timeout: int = 3, patience: float = 6.0
    ) -> None:
        """Remember where to post; nothing is sent yet.

        Args:
            token: bot token with chat:write; None or blank switches Slack off.
            channel: name or id.
            base_url: another root of the Slack API, ending in /api/; None means Slack's own.
            timeout: seconds for each read or write of one attempt.
            patience: seconds after which no further attempt is begun; a message takes at most about
                `patience + timeout`, since a load waits for it.
        """
        self._token = (token or "").strip()
        self._channel = channel
        self._base_url = base_url or WebClient.BASE_URL
        self._timeout = timeout
        self._patience = patience
        if not self._token:
            say_once(logging.INFO, "Slack is off: no token is set")
        elif not self._base_url.endswith("/api/"):
            # Told and not raised: a slip in an alert's setting must not stop a load.
            say_once(logging.WARNING, "Slack is off: the base URL must end in /api/")
            self._token = ""

    def post(self, message: Message) -> Posted | None:
        """Post a new message.

        Returns:
            Where it is; None where Slack is off or did not take it, which is logged once per process and reason.
        """
        return self._deliver(message, None) if self._token else None

    def update(self, posted: Posted, message: Message) -> Posted | None:
        """Replace a message; where Slack cannot change it any more, post a new one.

        Returns:
            Where the message is now; None as with `post`.
        """
        return self._deliver(message, posted) if self._token else None

    def _deliver(self, message: Message, posted: Posted | None) -> Posted | None:
        try:
            return self._deliver_or_say(message, posted)
        except Exception as error:
            # Broad, because slack_sdk lets through whatever urllib, http.client and json raise. Only the class is told:
            # http.client quotes a malformed token in its error.
            say_once(logging.WARNING, f"Slack could not be reached: {safe_text(error)}; loading goes on")
            return None

    def _deliver_or_say(self, message: Message, posted: Posted | None) -> Posted | None:
        """Send, and settle what Slack itself refuses."""
        try:
            return self._send(message, posted)
        except SlackApiError as error:
            reason = _reason(error)
        if reason in _CANNOT_UPDATE and posted is not None:
            return self._deliver_or_say(message, None)
        if reason in _BAD_BLOCKS and message.blocks:
            say_once(logging.WARNING, f"Slack refused a message's layout: {reason}; it was sent as plain text")
            return self._deliver_or_say(Message(message.text, ()), posted)
        say_once(logging.WARNING, f"Slack refused the message: {reason}; loading goes on")
        return None

    def _send(self, message: Message, posted: Posted | None) -> Posted:
        client = self._client()
        if posted is None:
            answer = client.chat_postMessage(
                channel=self._channel,
                text=message.text,
                blocks=list(message.blocks),
                unfurl_links=False,
                unfurl_media=False,
            )
        else:
            answer = client.chat_update(
                channel=posted.channel, ts=posted.ts, text=message.text, blocks=list(message.blocks)
            )
        return Posted(channel=str(answer["channel"]), ts=str(answer["ts"]))

    def _client(self) -> WebClient:
        """A client for one message: its retries share one deadline."""
        deadline = time.monotonic() + self._patience
        return WebClient(
            token=self._token,
            base_url=self._base_url,
            timeout=self._timeout,
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


def _reason(error: SlackApiError) -> str:
    """Slack's error code; the HTTP status where the answer is not Slack's, since its text may hold anything."""
    code = error.response.get("error")
    if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,60}", code):
        return code
    return f"HTTP {error.response.status_code}"
