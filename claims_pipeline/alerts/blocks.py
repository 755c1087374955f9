"""The few shapes of Slack's Block Kit that our messages use, within its limits.

Belongs here: blocks as dicts, and cutting to what Slack accepts (Block Kit reference: 50 blocks a message, 150
characters a header, 3000 a section's text, 3000 a URL). One block over a limit makes Slack refuse the whole message.
Does not belong here: what is said.

Texts arrive escaped and must not be cut any more (half an `&amp;` shows as rubbish): lists lose whole lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from claims_pipeline.alerts.text import cut, one_line

Block = dict[str, object]

MAX_HEADER = 150
MAX_SECTION = 3000
MAX_URL = 3000


def header(text: str) -> Block:
    """The headline: plain text, emoji names allowed."""
    return {"type": "header", "text": {"type": "plain_text", "text": cut(one_line(text), MAX_HEADER), "emoji": True}}


def paragraph(text: str) -> Block:
    """A section of mrkdwn; the caller sees to its length (`text.prose` and `text.code` have limits)."""
    return {"type": "section", "text": _mrkdwn(text)}


def bullets(title: str, lines: Sequence[str], *, most: int) -> list[Block]:
    """A titled list in one section; "and 12 more" stands for lines beyond `most` or beyond the section's limit.

    Returns:
        One block, or none where there are no lines.
    """
    if not lines:
        return []
    text = f"*{title}*"
    room = MAX_SECTION - len("\nand 1,000,000,000 more")
    shown = 0
    for line in lines[:most]:
        longer = f"{text}\n• {line}"
        if len(longer) > room:
            break
        text, shown = longer, shown + 1
    if shown < len(lines):
        text += f"\nand {len(lines) - shown:,} more"
    return [paragraph(text)]


def footnote(text: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [_mrkdwn(text)]}


def link_button(label: str, url: str | None) -> list[Block]:
    """A button that opens a page; none without a URL that Slack takes."""
    if url is None or len(url) > MAX_URL or not url.isascii() or not url.startswith(("http://", "https://")):
        return []
    button = {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url, "action_id": "open"}
    return [{"type": "actions", "elements": [button]}]


def _mrkdwn(text: str) -> Block:
    # verbatim: Slack must not turn parts of a key into links, channels or mentions.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
