"""`claims-pipeline calendar`: what is due when, and what came.

Belongs here: the words of the command. Does not belong here: how a delivery stands (deliveries.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services, senders_named
from claims_pipeline.cli.output import err, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from claims_pipeline.feeds import Sender
    from claims_pipeline.warehouse.expectations import Expectation


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("calendar")(calendar)


def calendar(
    sender: Annotated[str | None, typer.Option(help="Only this sender.", show_default="all")] = None,
    days: Annotated[int, typer.Option(min=0, max=3660, help="How many days back.")] = 30,
    ahead: Annotated[int, typer.Option(min=0, max=366, help="How many days ahead.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, a line per feed and day.")] = False,
) -> None:
    """What is due when, by each sender's calendar, and what came of it; times are of the sender's zone.

    due: not yet time. late: past the time, or came after it. missing: past the time and its grace. early: came before
    the earliest time. double: more dumps than are due. What people were told of a day, they were told once. Of days
    before the watch began (the first `catch-up`, or the schedule of missing dumps) only what came is known, not when.
    """
    with errors_in_one_line():
        import datetime as dt

        from claims_pipeline.deliveries import history
        from claims_pipeline.feeds import feeds_of
        from claims_pipeline.flow import Flow

        services = make_services()
        chosen = senders_named(sender)
        Flow(services, run_id="calendar").prepare()
        now = dt.datetime.now(dt.UTC)
        with services.database() as connection:
            found = [(one, history(connection, feeds_of(one.name), now=now, days=days, ahead=ahead)) for one in chosen]
        if as_json:
            print_json([line for _, lines in found for line in lines])
            return
        for one, lines in found:
            _print(one, lines, now=now, days=days, ahead=ahead)


def _print(sender: Sender, lines: Sequence[Expectation], *, now: dt.datetime, days: int, ahead: int) -> None:
    import datetime as dt
    from zoneinfo import ZoneInfo

    from claims_pipeline.feeds import feeds_of

    zone = ZoneInfo(sender.timezone)
    today = now.astimezone(zone).date()
    of_day: dict[dt.date, list[Expectation]] = {}
    for line in lines:
        of_day.setdefault(line.delivery.day, []).append(line)
    rows = []
    first = min(of_day, default=today)
    for n in range((today - first).days + ahead, -1, -1):
        day = first + dt.timedelta(days=n)
        due = of_day.get(day, [])
        names = {feed.deliveries.holiday(day) for feed in feeds_of(sender.name)} - {None}
        by = ", ".join(sorted({f"{line.delivery.due_at.astimezone(zone):%H:%M}" for line in due})) or None
        nothing = f"nothing due{': ' if names else ''}{', '.join(sorted(filter(None, names)))}"
        rows.append((f"{day:%Y-%m-%d %a}", by, _said(due, zone) if due else nothing))
    out.print(Text(f"{sender.title}:", "bold"), f"{sender.calendar} ({sender.timezone})", highlight=False)
    out.print(table("", ["day", "due by", "feeds"], rows))
    for feed in feeds_of(sender.name):
        if feed.calendar:
            out.print(f"{feed.name}: {feed.calendar}", highlight=False)
    if (today - first).days < days:
        err.print(f"Of {sender.name} nothing came for a day before {first}, and none was watched.", highlight=False)


def _said(due: Sequence[Expectation], zone: ZoneInfo) -> str:
    """The feeds of a day by what became of them: all of a kind by their number, others by name."""
    from claims_pipeline.vocabulary import DeliveryNews, DeliveryState

    names: dict[str, list[str]] = {}
    for line in due:
        delivery = line.delivery
        name = delivery.feed.partition("/")[2]
        if delivery.state is DeliveryState.DOUBLE:
            name += f" ({delivery.dumps} dumps, {delivery.dumps_due} due)"
        elif delivery.completed_at and delivery.late_by:
            name += f" (came {delivery.completed_at.astimezone(zone):%Y-%m-%d %H:%M})"
        elif delivery.state is DeliveryState.MISSING and DeliveryNews.MISSING in line.told and line.told_at:
            name += f" (told {line.told_at.astimezone(zone):%Y-%m-%d %H:%M})"
        names.setdefault(delivery.state.value, []).append(name)
    quiet = (DeliveryState.ARRIVED.value, DeliveryState.DUE.value)
    if len(names) == 1 and {*names} <= {*quiet, DeliveryState.MISSING.value} and len(due) > 1:
        return f"all {len(due)} {next(iter(names))}"
    return "; ".join(
        f"{len(of)} {state}" + ("" if state in quiet else f": {', '.join(of)}") for state, of in names.items()
    )
