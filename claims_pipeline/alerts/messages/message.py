"""A message as Slack takes it: its shape, and what all of ours have in common.

Belongs here: headline, body, what to do, link, in this order. Does not belong here: the words of any message.
"""

from __future__ import annotations

from dataclasses import dataclass

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.text import code, cut, escape, one_line

MAX_TEXT = 600  # the notification's text; Slack takes more, a phone's lock screen does not
MAX_LINES = 20


@dataclass(frozen=True)
class Message:
    """A message as Slack takes it.

    Attributes:
        text: what notifications and screen readers say: mrkdwn, escaped.
        blocks: the message itself, in Block Kit; empty where the text is all.
    """

    text: str
    blocks: tuple[blocks.Block, ...]


@dataclass(frozen=True)
class Posted:
    """A message that is in Slack, to be updated later.

    Attributes:
        channel: the channel's id as Slack answered it: chat.update does not take a name.
        ts: Slack's id of the message within the channel.
    """

    channel: str
    ts: str


def compose(
    headline: str, body: list[blocks.Block], *, step: str, detail: str, run_id: str = "", url: str | None = None
) -> Message:
    """Headline, body, what to do, link. `detail` is escaped and short; `step` is ours, and may hold a code span."""
    summary = escape(cut(one_line(headline), MAX_TEXT // 5))
    text = f"{summary}. {detail}" if detail else summary
    return Message(
        text=text,
        blocks=(
            blocks.header(headline),
            *body,
            blocks.paragraph(f"*What to do*\n{escape(cut(one_line(step), 500))}"),
            *([blocks.footnote(f"run {code(run_id)}")] if run_id else []),
            *blocks.link_button("Open the run", url),
        ),
    )
