"""What a run did, or did not: its own message, that of a killed one, the digest of a day.

Belongs here: words about dumps, rows, checks, and what a person is to do about them. Does not belong here: which dumps
are due (`inbox`), backups and drills (`upkeep`).
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from claims_pipeline.alerts import blocks
from claims_pipeline.alerts.messages.message import MAX_LINES, Message, compose
from claims_pipeline.alerts.text import code, count, cut_middle, days_text, duration, figure, listed, prose, size
from claims_pipeline.vocabulary import CheckOutcome, DumpReport, DumpStatus, DumpVerdict, RowCounts, RunReport

MAX_RULES = 5

_OUTCOMES = {
    "success": (":white_check_mark:", "all well"),
    "attention": (":warning:", "ended, needs attention"),
    "failure": (":x:", "failed"),
}


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
    return compose(
        headline,
        [
            blocks.paragraph(f"*{days_text(report.days)}*: {', '.join(facts)}"),
            *_about_dumps(report.dumps),
            *blocks.bullets("Failed checks", [_check(*check) for check in report.failed_checks], most=MAX_LINES),
            *([blocks.paragraph(f"*Error*\n{prose(report.error, 500)}")] if report.error else []),
        ],
        step=step,
        detail=_not_loaded_text(report.dumps) or prose(report.error, 120) or listed(_row_verdicts(report.rows)),
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
    return compose(
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


def digest_message(*, day: dt.date, dumps: Sequence[DumpReport], missing: Sequence[str] = ()) -> Message:
    """What became of everything that a day brought.

    Args:
        day: the day that the digest is about.
        dumps: reports of all dumps handled on it.
        missing: feeds without a dump that was due ("sender/dataset").
    """
    troubled = [dump for dump in dumps if dump.needs_a_person]
    emoji = ":warning:" if troubled or missing else ":white_check_mark:"
    steps = [_step_for_trouble(dumps), "Ask the sender for the missing dumps." if missing else ""]
    rows = sum((dump.rows for dump in dumps), RowCounts())
    return compose(
        f"{emoji} Digest of {day.isoformat()}: {count(len(dumps), 'dump')}, {len(troubled):,} not loaded, "
        f"{count(len(missing), 'feed')} missing",
        [
            *_about_dumps(dumps),
            *blocks.bullets("No dump, though due", [code(feed) for feed in missing], most=MAX_LINES),
        ],
        step=" ".join(filter(None, steps)) or "Nothing to do.",
        detail=listed(_row_verdicts(rows)),
    )


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
        *blocks.bullets("Not loaded", [_refusal(dump) for dump in dumps if dump.needs_a_person], most=MAX_LINES),
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


def _not_loaded_text(dumps: Sequence[DumpReport]) -> str:
    """Such as "not loaded: 4 held, 1 empty", which a phone shows at night; empty where all was loaded."""
    what = Counter(
        dump.status.value if dump.verdict in (None, DumpVerdict.NEW, DumpVerdict.SUPERSEDING) else dump.verdict.value
        for dump in dumps
        if dump.needs_a_person
    )
    return f"not loaded: {listed([(number, name) for name, number in what.most_common()])}" if what else ""


def _refusal(dump: DumpReport) -> str:
    verdict = f", {dump.verdict.value}" if dump.verdict else ""
    # A long reason begins with the figures, and ends with the command that a held dump waits for.
    why = prose(dump.reason, 250, shorten=cut_middle) or "no reason is recorded"
    return f"{code(dump.file)} ({dump.delivery_day.isoformat()}): {dump.status.value}{verdict}: {why}"


def _check(feed: str, check: CheckOutcome) -> str:
    figures = ", ".join(f"{name} {figure(value)}" for name, value in check.figures.items())
    shown = f" ({prose(figures, 150)})" if figures else ""
    return f"{code(feed)} {check.name.value}: {prose(check.summary, 200)}{shown}"


def _step_for_trouble(dumps: Sequence[DumpReport]) -> str:
    """The sentence for the worst of the dumps that were not loaded; empty where there is none."""
    worst = min((dump for dump in dumps if dump.needs_a_person), key=_severity, default=None)
    if worst is None:
        return ""
    if worst.status is DumpStatus.FAILED:
        return f"Run {_explain(worst)}, remove the cause, and run `claims-pipeline catch-up`; nothing is half loaded."
    if worst.verdict is DumpVerdict.HELD:
        return (
            f"Run {_explain(worst)}; who knows the feed then decides: `claims-pipeline approve` loads it, "
            "`claims-pipeline reject` does not. It can wait until then."
        )
    return f"Run {_explain(worst)}: it tells what is wrong with the dump and what to ask the sender for."


def _severity(dump: DumpReport) -> int:
    """0 is worst; the order of the runbooks (`alerts.runbooks.of_dumps`)."""
    order = (dump.status is DumpStatus.FAILED, dump.verdict is DumpVerdict.HELD, dump.status is DumpStatus.REFUSED)
    return order.index(True) if any(order) else len(order)


def _explain(dump: DumpReport) -> str:
    quoted = shlex.quote(dump.file)
    if len(quoted) > 250 or "`" in quoted or not quoted.isprintable():
        # Such a key cannot be copied out of a message unchanged.
        return "`claims-pipeline explain` with the dump's key"
    return f"`claims-pipeline explain {quoted}`"
