"""Fixtures: dumps that were loaded under a contract stricter than today's, so that today's is the mended one.

Belongs here: that contract, and loading under it. Does not belong here: what is expected of a replay.
"""

from __future__ import annotations

from dataclasses import replace

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Text, column
from claims_pipeline.feeds.va_form526 import SENDER, Form526Uploads
from claims_pipeline.flow import Flow
from claims_pipeline.vocabulary import DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import record_contract
from claims_pipeline_tests.fix_dagster import UPLOADS, as_csv, feed_of, upload_lines

STRICT_RULE = "attachment_id.isin"
LASTING_RULE = "confirmation_code.str_matches"

CANARY = "Zqxcanary"
"""A value that must not be seen but by `quarantine show`."""


class StrictUploads(Form526Uploads):
    """Uploads as a contract sees them that allows one kind of document."""

    attachment_id: Text = column("Kind of document", required=True, isin=["L015"])


STRICT: Feed = replace(feed_of(UPLOADS), model=StrictUploads)


def other_kind(number: int, *, file_name: str = "scan.pdf") -> str:
    """A line that breaks the strict contract and keeps today's."""
    return f"{number},00000000-0000-4000-8000-{number:012},L107,{file_name}"


def no_code(number: int) -> str:
    """A line that breaks both."""
    return f"{number},{CANARY},L015,scan.pdf"


MIXED = as_csv([*upload_lines(3), other_kind(7), no_code(8)])
"""Five rows: three good ones, row 4 (line 5) breaks the strict contract, row 5 (line 6) both."""


def load_strictly(flow: Flow, *, approve: bool = False) -> Dump:
    """Load the newest open dump under the strict contract; approve it if it is held."""
    with flow.services.database() as connection:
        record_contract(connection, STRICT)
    dump = flow.discover(SENDER).open[-1]
    dump = flow.validate(flow.archive(dump, STRICT), STRICT)
    if approve and dump.verdict is DumpVerdict.HELD:
        with flow.services.database() as connection:
            ledger.approve(connection, dump.dump_id, "ada")
            dump = ledger.get(connection, dump.dump_id)
    return flow.load(dump, STRICT)
