"""`claims-pipeline keys`: fresh keys, which keys are in use, and bringing tokens to the current one.

Belongs here: the words and tables of the commands. Does not belong here: the work (retokening.py), where keys are kept
(services.py).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import actor, err, errors_in_one_line, out, print_json, table

if TYPE_CHECKING:
    from claims_pipeline.retokening import Retokened

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)

SenderName = Annotated[str | None, typer.Option("--sender", help="Only this sender.", show_default="all")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@app.callback()
def keys(context: typer.Context) -> None:
    """Print fresh keys for CLAIMS_TOKEN_KEYS and CLAIMS_QUARANTINE_KEYS. Keep them in a secret store: lost is lost.

    To rotate: append a new key to the ring everywhere, restart what runs, `keys retoken`, and when `keys status` shows
    no row of the old version any more, take it out of the ring (docs/keys.md).
    """
    if context.invoked_subcommand is None:
        from claims_pipeline.frames import make_key_ring

        for name in ("CLAIMS_TOKEN_KEYS", "CLAIMS_QUARANTINE_KEYS"):
            typer.echo(f"{name}={make_key_ring()}")


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show which versions of the keys are in use, and where: may an old one leave its ring?

    Counts rows of tables, histories, the register of erased persons, and quarantine, by the version of the key of their
    tokens or seal. A version without rows may go; in an empty list everything may.
    """
    with errors_in_one_line():
        from claims_pipeline import retokening

        services = make_services()
        uses = retokening.uses(services)
        rings = {"token": services.keys.token.versions, "quarantine": services.keys.quarantine.versions}
        if as_json:
            print_json({"rings": rings, "uses": uses})
            return
        out.print(table("rows by key", ["key", "version", "where", "rows"], [tuple(vars(u).values()) for u in uses]))
        for name, versions in rings.items():
            used = {use.version for use in uses if use.key == name}
            idle = [version for version in versions[:-1] if version not in used]
            line = f"{name} ring: {', '.join(versions)}; {versions[-1]} is the current one"
            out.print(f"{line}; may go: {', '.join(idle) or 'none'}", highlight=False)
            if lost := sorted(used - set(versions)):
                out.print(Text(f"in use, and not in the {name} ring:", "red"), ", ".join(lost), highlight=False)


@app.command("retoken")
def retoken(
    sender: SenderName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring tokens of older keys to the current one: tables, histories and quarantine, from the raw archive.

    Reads every dump again that rows with older tokens came from, with the new key, and with the old one to prove that
    its rows are the same. Then all tables of a sender change in one transaction; readers are never blocked and never
    see both. Loads of that sender wait for that transaction. Both keys must be in the ring, the new one last, and
    everything that loads must have been restarted with it. Run again, it changes nothing.

    Exit code 3: refused or failed; of that sender, nothing was changed.
    """
    with errors_in_one_line():
        from claims_pipeline import retokening
        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.feeds import all_feeds, all_senders
        from claims_pipeline.flow import Flow
        from claims_pipeline.reporting import CLI_RUN

        known = [one.name for one in all_senders()]
        if sender is not None and sender not in known:
            raise ClaimsPipelineError(f"no sender is named {sender!r}; known: {', '.join(known)}")
        flow = Flow(make_services(), run_id=f"{CLI_RUN}{uuid.uuid4().hex[:16]}")
        wanted = [sender] if sender else known
        flow.prepare([feed for feed in all_feeds() if feed.sender.name in wanted])
        done: list[Retokened] = []
        for name in wanted:
            with err.status(name) as shown:
                done.append(
                    retokening.retoken(
                        flow,
                        name,
                        requested_by=actor(),
                        dry_run=dry_run,
                        each=lambda place, of, file: shown.update(Text(f"dump {place + 1} of {of}: {file}")),
                    )
                )
        if as_json:
            print_json(done)
        else:
            _print(done, dry_run=dry_run)


def _print(done: list[Retokened], *, dry_run: bool) -> None:
    for one in done:
        if not one.rows:
            out.print(f"{one.sender}: no row has a token of another key than {one.to}", highlight=False)
            continue
        said = "would be brought" if dry_run else "were brought"
        out.print(
            f"{one.sender}: {one.rows:,} rows of {one.dumps:,} dumps {said} from key {', '.join(one.was) or '?'} to "
            f"{one.to}",
            highlight=False,
        )
        if one.feeds:
            rows = [(name, c.table, c.history, c.quarantine, c.joined) for name, c in one.feeds.items()]
            out.print(table("rows", ["feed", "table", "history", "quarantine", "versions joined"], rows))
