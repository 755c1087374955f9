"""What a feed does with drift is its policy: allow loads and tells, hold asks a person, freeze refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import record_contract
from claims_pipeline_tests.fix_pipeline import FEEDS, JOBS, Pipeline, only, written

Policy = Literal["allow", "hold", "freeze"]


def _validated(pipeline: Pipeline, policy: Policy) -> tuple[Feed, Dump]:
    """A dump with a column that the contract does not know, validated under a policy."""
    _, delivery = written(JOBS)
    key, body = only(delivery)
    lines = body.decode().splitlines()
    widened = "\n".join([lines[0] + ",priority", *(line + ",1" for line in lines[1:])])
    feed = replace(FEEDS[JOBS], drift=policy)
    with pipeline.services.database() as connection:
        record_contract(connection, feed)
    dump = pipeline.arrive({key: widened.encode()})
    flow = pipeline.flow
    return feed, flow.validate(flow.archive(dump, feed), feed)


def test_allow_loads_what_the_contract_knows_and_tells(pipeline: Pipeline) -> None:
    feed, dump = _validated(pipeline, "allow")
    assert dump.status is DumpStatus.VALIDATED
    assert dump.checks["contract"]["summary"] == "added: priority"
    assert not dump.checks["contract"]["passed"]
    assert pipeline.flow.load(dump, feed).status is DumpStatus.LOADED


def test_hold_asks_and_an_approved_dump_loads(pipeline: Pipeline) -> None:
    feed, dump = _validated(pipeline, "hold")
    assert (dump.status, dump.verdict) == (DumpStatus.REFUSED, DumpVerdict.HELD)
    assert "approve" in dump.reason
    with pipeline.services.database() as connection:
        ledger.approve(connection, dump.dump_id, "somebody")
        dump = ledger.get(connection, dump.dump_id)
    assert pipeline.flow.load(dump, feed).status is DumpStatus.LOADED


def test_freeze_refuses(pipeline: Pipeline) -> None:
    feed, dump = _validated(pipeline, "freeze")
    assert (dump.status, dump.verdict) == (DumpStatus.REFUSED, DumpVerdict.NEW)
    assert dump.reason == "the feed's columns are frozen: added: priority"
    assert pipeline.flow.load(dump, feed).status is DumpStatus.REFUSED


@pytest.mark.parametrize("policy", ["allow", "hold", "freeze"])
def test_a_dump_without_drift_passes_under_every_policy(pipeline: Pipeline, policy: Policy) -> None:
    _, delivery = written(JOBS)
    feed = replace(FEEDS[JOBS], drift=policy)
    with pipeline.services.database() as connection:
        record_contract(connection, feed)
    flow = pipeline.flow
    dump = flow.validate(flow.archive(pipeline.arrive(delivery), feed), feed)
    assert dump.status is DumpStatus.VALIDATED
