"""Putting names, counts, days and durations into words that Slack shows as they are meant.

Belongs here: pure functions from a value to a short text, and the escaping of Slack's mrkdwn. Does not belong here:
what a message says (`messages`), and the shapes of Block Kit (`blocks`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence


def one_line(text: str) -> str:
    """The text without line breaks and without characters that cannot be seen or sent.

    Keys are chosen by senders: control characters, direction marks and lone surrogates occur in them, and would
    disturb the layout or the JSON.
    """
    return "".join(" " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the end left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_middle(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out: a key is known by its folder and by its file name."""
    if len(text) <= limit:
        return text
    head = limit // 3
    return text[:head] + "…" + text[len(text) - (limit - head - 1) :]


def escape(text: str) -> str:
    """The three characters that mean something to Slack, escaped; up to five times as long."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def prose(text: str, limit: int, *, shorten: Callable[[str, int], str] = cut) -> str:
    """A sentence of another room, for mrkdwn: `limit` characters at most before escaping, no code spans."""
    return escape(shorten(one_line(text).replace("`", "'"), limit))


def code(name: str, limit: int = 120) -> str:
    """A name as a code span, in which Slack sees no markup; backticks, which would end the span, become quotes."""
    return f"`{escape(cut_middle(one_line(name).replace('`', chr(39)), limit)) or '?'}`"


def count(number: int, noun: str) -> str:
    """Such as "1 row" and "1,203 rows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(counts: Sequence[tuple[int, str]]) -> str:
    """Such as "1,203 inserted, 4 updated": zeros are left out."""
    return ", ".join(f"{number:,} {name}" for number, name in counts if number)


def figure(value: float | str) -> str:
    """A figure of a check: thousands separated, at most four significant digits of a fraction."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def size(bytes_: int) -> str:
    """Such as "12.3 MB", in powers of ten."""
    scaled, units = float(bytes_), ["B", "kB", "MB", "GB", "TB"]
    while scaled >= 1000 and len(units) > 1:
        scaled /= 1000
        units.pop(0)
    return f"{scaled:,.0f} B" if units[0] == "B" else f"{scaled:,.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Such as "0.4 s", "1 min 42 s", "2 h 3 min", "5 d 1 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def days_text(days: Sequence[dt.date]) -> str:
    """One delivery day, or the first and the last with how many there are (a range may have holes)."""
    if not days:
        return "no delivery day"
    if len(days) == 1:
        return days[0].isoformat()
    return f"{min(days).isoformat()} to {max(days).isoformat()} ({count(len(days), 'delivery day')})"
