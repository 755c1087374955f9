"""What to say: from a report to a Slack message. Pure functions.

Belongs here: the words of every message and their order; what a person woken at night is to do. Does not belong here:
sending (`slack`), and whether to send at all (`router`). The inputs hold names, counts and rule ids only, and nothing
else is read, so no message can hold a value of a record.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.text import (
    code,
    count,
    cut,
    days_text,
    duration,
    escape,
    figure,
    listed,
    one_line,
    prose,
    size,
)
from claims_pipeline.vocabulary import (
    CheckOutcome,
    Delivery,
    DeliveryNews,
    DumpReport,
    DumpStatus,
    DumpVerdict,
    RowCounts,
    RunReport,
)

MAX_TEXT = 600  # the notification's text; Slack takes more, a phone's lock screen does not
MAX_RULES = 5
MAX_LINES = 20

_OUTCOMES = {
    "success": (":white_check_mark:", "all well"),
    "attention": (":warning:", "ended, needs attention"),
    "failure": (":x:", "failed"),
}


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


# ---------------------------------------------------------------------------------------------- the messages


def run_message(report: RunReport, *, title: str | None = None) -> Message:
    """What one run did, and what to do about it.

    Args:
        report: the run's report.
        title: the sender's name for people; None means its identifier.
    """
    headline = run_headline(report, title=title)
    step = report.next_step or next_step(report)
    read = sum(dump.bytes for dump in report.dumps)
    facts = [count(len(report.dumps), "dump"), size(read), duration(report.seconds)]
    return _message(
        headline,
        [
            blocks.paragraph(f"*{days_text(report.days)}*: {', '.join(facts)}"),
            *_about_dumps(report.dumps),
            *blocks.bullets("Failed checks", [_check(*check) for check in report.failed_checks], most=MAX_LINES),
            *([blocks.paragraph(f"*Error*\n{prose(report.error, 500)}")] if report.error else []),
        ],
        step=step,
        detail=prose(report.error, 120) or listed(_row_verdicts(report.rows)),
        run_id=report.run_id,
        url=report.run_url,
    )


def crash_message(
    *,
    run_id: str,
    sender: str,
    days: Sequence[dt.date],
    last_step: str = "",
    run_url: str | None = None,
    title: str | None = None,
) -> Message:
    """A run that was killed, or never started, before it could say anything itself.

    Args:
        run_id: Dagster's run id.
        sender: the sender whose dumps it was to handle.
        days: delivery days that it was asked for.
        last_step: the last step that is known to have begun; empty if none is.
        run_url: link to the run.
        title: the sender's name for people; None means its identifier.
    """
    where = f"Its last known step was {code(last_step)}." if last_step else "No step of it is known to have begun."
    return _message(
        f":boom: {title or sender}, {days_text(days)}: the run was killed",
        [
            blocks.paragraph(
                f"*{days_text(days)}*: the run ended without a report: its process was killed, or never started. "
                f"{where} No part of an unfinished dump is in the tables."
            )
        ],
        step=(
            "Wait for the retry, which loads every dump that is still open; if this message comes again for the same "
            "days, open the run, find out what ended its process (memory first), and run `claims-pipeline catch-up`."
        ),
        detail="",
        run_id=run_id,
        url=run_url,
    )


def missing_message(
    *, feeds: Sequence[str], day: dt.date, due: dt.datetime, waiting: Sequence[tuple[str, str]] = ()
) -> Message:
    """No dump of a delivery day arrived in time, or dumps wait for what their sender lays beside them.

    Args:
        feeds: the feeds without a dump ("sender/dataset").
        day: delivery day, in the sender's time zone.
        due: when the dumps were due; its own time zone is named in the message.
        waiting: (key, why) of dumps that have arrived and are not read.
    """
    held = blocks.bullets("Not read yet", [f"{code(key)}: {prose(why, 200)}" for key, why in waiting], most=MAX_LINES)
    ask = "Ask the sender to lay down what is lacking: the dumps are then read by themselves." if waiting else ""
    if not feeds:
        return _message(
            f":hourglass: {count(len(waiting), 'dump')} not read by {day.isoformat()}", held, step=ask, detail=""
        )
    when = f"{due:%Y-%m-%d %H:%M} {due.tzname() or ''}".strip()
    return _message(
        f":hourglass: No dump for {day.isoformat()}: {count(len(feeds), 'feed')}",
        [
            blocks.paragraph(f"*{day.isoformat()}*: due by {prose(when, 60)}, not in the inbox."),
            *blocks.bullets("Feeds", [code(feed) for feed in feeds], most=MAX_LINES),
            *held,
        ],
        step=f"Ask the sender whether the day was delivered: a dump that comes late is loaded by itself. {ask}".strip(),
        detail=", ".join(code(feed, 60) for feed in feeds[:3]),
    )


def delivery_message(
    *, news: DeliveryNews, deliveries: Sequence[Delivery], timezone: str, title: str | None = None
) -> Message:
    """Deliveries that came otherwise than their calendar says: late, after they were missing, early, or too many.

    Args:
        news: what is told of all of them; not that they are missing, for which there is `missing_message`.
        deliveries: of one sender.
        timezone: the sender's zone, in which times are told.
        title: the sender's name for people; None means its identifier.
    """
    emoji, words, step = _DELIVERED[news]
    name = title or deliveries[0].feed.partition("/")[0]
    lines = [_delivery(news, delivery, ZoneInfo(timezone)) for delivery in deliveries]
    return _message(
        f"{emoji} {name}: {count(len(deliveries), 'feed')} {words}",
        blocks.bullets("Feeds", lines, most=MAX_LINES),
        step=step,
        detail=lines[0],
    )


_DELIVERED = {
    DeliveryNews.RECOVERED: (
        ":white_check_mark:",
        "arrived after having been missing",
        "Nothing to do: what comes late is loaded by itself.",
    ),
    DeliveryNews.LATE: (
        ":alarm_clock:",
        "arrived late",
        "Nothing to do: it is loaded by itself. If it comes late often, agree on another time with the sender, and "
        "change the feed's calendar.",
    ),
    DeliveryNews.EARLY: (
        ":hourglass_flowing_sand:",
        "arrived early",
        "Ask the sender whether it was made too early: what happened after it was made is not in it.",
    ),
    DeliveryNews.DOUBLE: (
        ":heavy_plus_sign:",
        "delivered more dumps than are due",
        "Ask the sender whether all are meant. All are loaded; of rows with one key the newest stays. "
        "`claims-pipeline undo` takes one out that is wrong.",
    ),
}
"""By news: emoji, words, what to do."""


def _delivery(news: DeliveryNews, delivery: Delivery, zone: ZoneInfo) -> str:
    of = f"{code(delivery.feed)} of {delivery.day.isoformat()}"
    if news is DeliveryNews.DOUBLE:
        return f"{of}: {count(delivery.dumps, 'dump')}, {delivery.dumps_due:,} due"
    due = delivery.due_at.astimezone(zone)
    came = (delivery.completed_at or delivery.due_at).astimezone(zone)
    when = f"came {came:%Y-%m-%d %H:%M}, due by {due:%Y-%m-%d %H:%M} {due.tzname() or ''}".strip()
    if news is DeliveryNews.EARLY:
        return f"{of}: {when}"
    return f"{of}: arrived {duration(delivery.late_by.total_seconds())} late ({when})"


def digest_message(*, day: dt.date, dumps: Sequence[DumpReport], missing: Sequence[str] = ()) -> Message:
    """What became of everything that a day brought.

    Args:
        day: the day that the digest is about.
        dumps: reports of all dumps handled on it.
        missing: feeds without a dump that was due ("sender/dataset").
    """
    troubled = [dump for dump in dumps if _not_loaded(dump)]
    emoji = ":warning:" if troubled or missing else ":white_check_mark:"
    steps = [_step_for_trouble(dumps), "Ask the sender for the missing dumps." if missing else ""]
    rows = sum((dump.rows for dump in dumps), RowCounts())
    return _message(
        f"{emoji} Digest of {day.isoformat()}: {count(len(dumps), 'dump')}, {len(troubled):,} not loaded, "
        f"{count(len(missing), 'feed')} missing",
        [
            *_about_dumps(dumps),
            *blocks.bullets("No dump, though due", [code(feed) for feed in missing], most=MAX_LINES),
        ],
        step=" ".join(filter(None, steps)) or "Nothing to do.",
        detail=listed(_row_verdicts(rows)),
    )


def events_message(reasons: Sequence[str]) -> Message:
    """Messages in the queue of S3's events that are none, or of an unknown form.

    Args:
        reasons: why, one for each message; they quote nothing of it.
    """
    lines = [f"{prose(why, 200)}: {times:,}" for why, times in Counter(reasons).items()]
    return _message(
        f":envelope: {count(len(reasons), 'message')} in the events queue not understood",
        [
            blocks.paragraph("They stay in the queue until its redrive policy moves them to the dead-letter queue."),
            *blocks.bullets("Why", lines, most=MAX_LINES),
        ],
        step="No dump is lost: what events do not tell is found by listing. Look at the dead-letter queue, find out "
        "who sends there what is no event of S3, and stop it (docs/events.md).",
        detail=lines[0],
    )


def upkeep_message(*, task: str, error: str, run_id: str, run_url: str | None = None) -> Message:
    """A task of upkeep failed: the backup, a drill.

    Args:
        task: its asset's name, such as "backup".
        error: what was wrong, free of values.
        run_id: Dagster's run id.
        run_url: link to the run.
    """
    words, meaning, step = _UPKEEP.get(task, (one_line(task), "It will be tried again at its next time.", ""))
    return _message(
        f":x: Upkeep: {words} failed",
        [blocks.paragraph(meaning), blocks.paragraph(f"*Error*\n{prose(error, 500) or 'none is known'}")],
        step=step or "Open the run, remove the cause of the error, and launch it again.",
        detail=prose(error, 120),
        run_id=run_id,
        url=run_url,
    )


_UPKEEP = {
    "prune": (
        "the prune",
        "Nothing is lost: leftovers and old logs stay until it succeeds, and take up space.",
        "Remove the cause and run `claims-pipeline prune`, which lists what would go; with `--apply` it deletes it.",
    ),
    "backup": (
        "the backup",
        "The tables are as they were; there is no new backup of them.",
        "Remove the cause and run `claims-pipeline backup now`; `claims-pipeline backup list` shows which backups are.",
    ),
    "restore_drill": (
        "the restore drill",
        "The newest backup was not proven: it is missing, too old, cannot be restored, or holds other rows.",
        "Run `claims-pipeline backup now` and then `claims-pipeline backup drill`. If that fails too, the backups "
        "cannot be relied on: let nobody delete anything from the raw archive until the cause is found.",
    ),
    "rebuild_drill": (
        "the rebuild drill",
        "Tables made again from the raw archive are not the live ones, or could not be made.",
        "Open the run: the check rebuild_equals_table names the tables and dumps. A dump in the rebuilt tables only "
        "was refused or given up once (`claims-pipeline retry`); tables loaded under an earlier contract differ until "
        "those days are processed again. Let nobody delete anything from archive or backups until the cause is found.",
    ),
}
"""By task: what it is called, what its failing means, what to do."""


def run_headline(report: RunReport, *, title: str | None = None) -> str:
    """The run's outcome in one line, with an emoji; not escaped."""
    # An outcome that nobody foresaw is for a person to look at.
    emoji, words = _OUTCOMES.get(report.outcome, _OUTCOMES["attention"])
    return f"{emoji} {title or report.sender}, {days_text(report.days)}: {words}"


def next_step(report: RunReport) -> str:
    """What a person should do about the run, in one sentence; for reports that do not say it themselves."""
    if report.outcome == "success":
        return "Nothing to do."
    if step := _step_for_trouble(report.dumps):
        return step
    if report.outcome == "failure":
        return (
            "Open the run, remove the cause of the error, and run `claims-pipeline catch-up`: "
            "it loads what is still open, and nothing is half loaded."
        )
    worst = max(report.dumps, key=lambda dump: dump.rows.quarantined, default=None)
    if worst is not None and worst.rows.quarantined:
        return f"Run {_explain(worst)}: it tells which rules set rows apart; the other rows are loaded."
    return "Open the run and judge the figures of its checks: what is marked there is for a person to decide."


# ---------------------------------------------------------------------------------------------- their parts


def _message(
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


def _about_dumps(dumps: Sequence[DumpReport]) -> list[blocks.Block]:
    feeds: dict[str, list[DumpReport]] = {}
    for dump in dumps:
        feeds.setdefault(dump.feed, []).append(dump)
    drift = dict.fromkeys((dump.feed, line) for dump in dumps for line in dump.drift)
    return [
        *blocks.bullets("Feeds", [_feed(feed, of_feed) for feed, of_feed in sorted(feeds.items())], most=MAX_LINES),
        *_rules("Quarantined rows by rule", (dump.rejects for dump in dumps)),
        *_rules("Values set to NULL or kept with a warning, by rule", (dump.issues for dump in dumps)),
        *blocks.bullets(
            "Columns changed", [f"{code(feed)} {prose(line, 200)}" for feed, line in drift], most=MAX_LINES
        ),
        *blocks.bullets("Not loaded", [_refusal(dump) for dump in dumps if _not_loaded(dump)], most=MAX_LINES),
    ]


def _feed(feed: str, dumps: Sequence[DumpReport]) -> str:
    verdicts = Counter(dump.verdict.value if dump.verdict else "not read" for dump in dumps)
    of_dumps = f"{count(len(dumps), 'dump')} ({listed([(n, name) for name, n in verdicts.most_common()])})"
    rows = sum((dump.rows for dump in dumps), RowCounts())
    of_rows = listed(_row_verdicts(rows)) or "no rows"
    return f"{code(feed)}: {of_rows}; {of_dumps}"


def _row_verdicts(rows: RowCounts) -> list[tuple[int, str]]:
    return [(number, name) for name, number in rows.as_dict().items() if name != "read"]


def _rules(title: str, counts: Iterable[dict[str, int]]) -> list[blocks.Block]:
    total: Counter[str] = Counter()
    for of_dump in counts:
        total.update(of_dump)
    # Most first; equal counts by name, so that the same report always reads the same.
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return blocks.bullets(title, [f"{code(rule)}: {number:,}" for rule, number in ranked], most=MAX_RULES)


def _not_loaded(dump: DumpReport) -> bool:
    """Whether a person has to know that nothing of the dump was loaded; resent and duplicate ones need nobody."""
    return dump.status in (DumpStatus.REFUSED, DumpStatus.FAILED) or dump.verdict in (
        DumpVerdict.EMPTY,
        DumpVerdict.HELD,
        DumpVerdict.UNKNOWN,
        DumpVerdict.UNREADABLE,
    )


def _refusal(dump: DumpReport) -> str:
    verdict = f", {dump.verdict.value}" if dump.verdict else ""
    why = prose(dump.reason, 250) or "no reason is recorded"
    return f"{code(dump.file)} ({dump.delivery_day.isoformat()}): {dump.status.value}{verdict}: {why}"


def _check(feed: str, check: CheckOutcome) -> str:
    figures = ", ".join(f"{name} {figure(value)}" for name, value in check.figures.items())
    shown = f" ({prose(figures, 150)})" if figures else ""
    return f"{code(feed)} {check.name.value}: {prose(check.summary, 200)}{shown}"


def _step_for_trouble(dumps: Sequence[DumpReport]) -> str:
    """The sentence for the worst of the dumps that were not loaded; empty where there is none."""
    for dump in dumps:
        if dump.status is DumpStatus.FAILED:
            return (
                f"Run {_explain(dump)}, remove the cause, and run `claims-pipeline catch-up`; nothing is half loaded."
            )
    for dump in dumps:
        if _not_loaded(dump):
            return f"Run {_explain(dump)}: it tells what is wrong with the dump and what to ask the sender for."
    return ""


def _explain(dump: DumpReport) -> str:
    quoted = shlex.quote(dump.file)
    if len(quoted) > 250 or "`" in quoted or not quoted.isprintable():
        # Such a key cannot be copied out of a message unchanged.
        return "`claims-pipeline explain` with the dump's key"
    return f"`claims-pipeline explain {quoted}`"
