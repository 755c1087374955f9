"""Slack: one message posted or updated, within a few seconds, and never an exception.

Belongs here: what follows when Slack refuses a message or cannot be reached. Does not belong here: calls of the Slack
Web API and their retries (`slack_api`), what is said (`messages`), and whether to say it (`router`).
"""

from __future__ import annotations

import logging

from claims_pipeline.alerts.messages import Message, Posted
from claims_pipeline.alerts.once import say_once
from claims_pipeline.errors import safe_text

OWN_API = "https://slack.com/api/"

# Slack's error codes: those that posting a new message cures, and those that leaving out the blocks does.
_CANNOT_UPDATE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})


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
        self._base_url = base_url or OWN_API
        self._timeout = timeout
        self._patience = patience
        if not self._token:
            say_once(logging.INFO, "Slack is off: no token is set")
        elif not self._base_url.endswith("/api/"):
            # Told and not raised: a slip in an alert's setting must not stop a load.
            say_once(logging.WARNING, "Slack is off: the base URL must end in /api/")
            self._token = ""

    @property
    def on(self) -> bool:
        """Whether there is a channel: a message that could not be posted there is worth another try."""
        return bool(self._token)

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
        from claims_pipeline.alerts import slack_api  # with slack_sdk: 0.1 s that a process without a token saves

        try:
            return slack_api.send(
                message,
                posted,
                token=self._token,
                channel=self._channel,
                base_url=self._base_url,
                timeout=self._timeout,
                patience=self._patience,
            )
        except slack_api.SlackApiError as error:
            reason = slack_api.reason(error)
        if reason in _CANNOT_UPDATE and posted is not None:
            return self._deliver_or_say(message, None)
        if reason in _BAD_BLOCKS and message.blocks:
            say_once(logging.WARNING, f"Slack refused a message's layout: {reason}; it was sent as plain text")
            return self._deliver_or_say(Message(message.text, ()), posted)
        say_once(logging.WARNING, f"Slack refused the message: {reason}; loading goes on")
        return None
