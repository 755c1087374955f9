"""The events queue from a terminal: how it stands, what nobody could deal with; and hearing it out for one-shot work.

Belongs here: the words of the commands, how often to ask. Does not belong here: what becomes of an event (hearing.py),
what is wrong with messages (dead_letters.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, err, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    from claims_pipeline.landing.queue import Queue
    from claims_pipeline.services import Services

app = typer.Typer()
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]

_MOST_HEARINGS = 500
"""Of some thousand messages each: an end, should somebody fill the queue faster than it is emptied."""


@app.callback(invoke_without_command=True)
def state(context: typer.Context, as_json: AsJson = False) -> None:
    """How many messages wait in the queue of S3's events, are in flight, and could not be dealt with (dead).

    SQS counts about. Messages that wait are read by the next tick of an arrivals sensor, or by `catch-up`. Exit code 0:
    none is dead. 1: some are; `events dead` says why. 3: no queue is set, or it cannot be asked.
    """
    if context.invoked_subcommand is not None:
        return
    with errors_in_one_line():
        queue = _queue()
        dead = queue.dead_letters()
        now, lost = queue.state(), dead.state() if dead else None
        if as_json:
            print_json({"queue": now, "dead_letters": lost})
        else:
            rows = [(one.name, one.waiting, one.in_flight) for one in (now, lost) if one]
            out.print(table("events", ["queue", "waiting", "in flight"], rows))
            if lost is None:
                out.print("No dead-letter queue: a message that is not understood comes again until it expires.")
        if lost and lost.waiting + lost.in_flight:
            raise typer.Exit(EXIT_ATTENTION)


@app.command("dead")
def dead(as_json: AsJson = False) -> None:
    """What is in the dead-letter queue: how many messages, of when, and why they are not understood; never their text.

    Nothing is taken out. No dump is lost by a dead message: listing finds what it would have told of. Exit code 0:
    there is none. 1: there are some. 3: no queue is set, or it cannot be asked.
    """
    with errors_in_one_line():
        from claims_pipeline import dead_letters

        queue = dead_letters.dead_letters_of(_queue())
        found = dead_letters.look(queue)
        if as_json:
            print_json(found)
        elif found:
            rows = [(one.why, one.messages, one.oldest, one.newest) for one in found]
            out.print(table(f"dead letters in {queue.name}", ["why", "messages", "oldest", "newest"], rows))
            out.print("`claims-pipeline events redrive` sends back those that are understood by this version.")
        else:
            out.print("No dead letters.")
        if found:
            raise typer.Exit(EXIT_ATTENTION)


@app.command("redrive")
def redrive(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are not understood; they will die, and be told of, again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead messages back to the queue: those that this version understands, after a release or an outage.

    A thousand at a time; again for more. An event that is told twice does no harm. Needs the right to send to the
    queue, besides those to receive, release and delete in the dead-letter queue. Exit code 0: none is left. 1: some
    stay, or there may be more. 3: no queue is set, or it cannot be asked.
    """
    with errors_in_one_line():
        from claims_pipeline import dead_letters

        queue = _queue()
        dead, most = dead_letters.dead_letters_of(queue), dead_letters.MOST_MESSAGES
        sent, left = dead_letters.redrive(queue, dead, everything=everything, most=most)
        more = sent + left >= most
        if as_json:
            print_json({"sent": sent, "left": left, "more": more})
        else:
            out.print(f"{sent:,} sent back to {queue.name}, {left:,} left; `claims-pipeline events dead` says why.")
            if more:
                out.print("There may be more: run it again.")
        if left or more:
            raise typer.Exit(EXIT_ATTENTION)


def _queue() -> Queue:
    from claims_pipeline.errors import ClaimsPipelineError

    queue = make_services().events_queue
    if queue is None:
        raise ClaimsPipelineError(
            "CLAIMS_EVENTS_QUEUE_URL is not set: dumps are found by listing alone (docs/events.md)"
        )
    return queue


def hear_out(services: Services) -> None:
    """Empty the events queue, where one is set; the listing that follows finds what they tell of, and more.

    A queue that cannot be read is told of and passed over. With much to be worked off already, the rest is left to the
    next call.
    """
    if services.settings.events_queue_url is None:
        return
    from claims_pipeline.alerting import make_alerts
    from claims_pipeline.errors import ClaimsPipelineError
    from claims_pipeline.extent import MOST_BACKLOG
    from claims_pipeline.feeds import all_senders
    from claims_pipeline.flow import Flow
    from claims_pipeline.hearing import hear
    from claims_pipeline.warehouse import ledger

    alerts = make_alerts(services.settings)
    Flow(services, run_id="hearing").prepare([])
    try:
        for _ in range(_MOST_HEARINGS):
            with services.database() as connection:
                backlog = sum(ledger.backlog(connection, sender.name) for sender in all_senders())
            if backlog >= MOST_BACKLOG:
                return
            heard = hear(services, tell=alerts.not_understood)
            if heard is None or not heard.messages:
                return
            alerts.events(heard.events, oldest_seconds=heard.oldest_seconds)
            err.print(f"heard {heard}", highlight=False)
    except ClaimsPipelineError as error:
        alerts.events({"unheard": 1}, oldest_seconds=None)
        err.print(f"events not heard, so listed only: {error}", highlight=False)
