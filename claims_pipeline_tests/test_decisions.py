"""A decision is carried out and noted in both places, or neither."""

from __future__ import annotations

import pytest
from psycopg import errors

from claims_pipeline import decisions
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_dagster import UPLOADS, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_pipeline import FEEDS, Pipeline
from claims_pipeline_tests.fix_quarantine import no_code


@pytest.fixture
def held(pipeline: Pipeline) -> Dump:
    """A dump that waits for a person."""
    pipeline.deliver({SENDER.prefix + upload_name(): as_csv([*upload_lines(3), *map(no_code, range(1, 151))])})
    flow = pipeline.flow
    dump = flow.archive(flow.discover(SENDER).open[-1], FEEDS[UPLOADS])
    dump = flow.validate(dump, FEEDS[UPLOADS])
    assert dump.verdict is DumpVerdict.HELD
    return dump


def noted(pipeline: Pipeline) -> list[tuple[object, ...]]:
    return pipeline.rows("select what, decided_by, reason from ops.decision order by decision_id")


def archived(pipeline: Pipeline, dump: Dump) -> list[tuple[int, str, str, str]]:
    assert dump.archive_key is not None
    return [(d.number, d.what, d.by, d.reason) for d in decisions.read(pipeline.services, dump.archive_key)]


def test_an_approved_dump_is_open_again(pipeline: Pipeline, held: Dump) -> None:
    after = decisions.decide(pipeline.services, held, "approve", by="ada", reason="known defect")
    assert (after.status, after.approved_by) == (DumpStatus.VALIDATED, "ada")


def test_a_rejected_dump_says_by_whom_and_why(pipeline: Pipeline, held: Dump) -> None:
    after = decisions.decide(pipeline.services, held, "reject", by="ada", reason="wrong file")
    assert (after.status, after.reason) == (DumpStatus.REFUSED, "rejected by ada: wrong file")


def test_a_decision_is_noted_in_the_database(pipeline: Pipeline, held: Dump) -> None:
    decisions.decide(pipeline.services, held, "approve", by="ada", reason="known defect")
    assert noted(pipeline) == [("approve", "ada", "known defect")]


def test_the_archive_knows_all_decisions_in_order(pipeline: Pipeline, held: Dump) -> None:
    decisions.decide(pipeline.services, held, "reject", by="ada", reason="wrong file")
    decisions.decide(pipeline.services, held, "approve", by="bob", reason="right after all")
    decisions.record(pipeline.services, held, "undo", "ada", "wrong again")
    assert archived(pipeline, held) == [
        (1, "reject", "ada", "wrong file"),
        (2, "approve", "bob", "right after all"),
        (3, "undo", "ada", "wrong again"),
    ]


def test_a_note_waits_for_no_transaction_that_changed_the_dump(pipeline: Pipeline, held: Dump) -> None:
    with pipeline.services.database() as connection, connection.transaction():
        connection.execute("update ops.dump set reason = 'x' where dump_id = %s", [held.dump_id])
        decisions.record(pipeline.services, held, "undo", "ada", "wrong file")
    assert noted(pipeline) == [("undo", "ada", "wrong file")]


def test_a_dump_without_decisions_has_none(pipeline: Pipeline, held: Dump) -> None:
    assert archived(pipeline, held) == []


def test_where_the_archive_fails_nothing_is_decided(pipeline: Pipeline, held: Dump) -> None:
    elsewhere = pipeline.services.settings.model_copy(update={"archive_bucket": "there-is-no-such-bucket"})
    with pytest.raises(ClaimsPipelineError):
        decisions.decide(Services(elsewhere, lambda: pipeline.s3), held, "approve", by="ada", reason="known defect")
    with pipeline.services.database() as connection:
        assert (ledger.get(connection, held.dump_id).verdict, noted(pipeline)) == (DumpVerdict.HELD, [])


def test_a_dump_that_is_not_held_cannot_be_decided_on(pipeline: Pipeline, held: Dump) -> None:
    decisions.decide(pipeline.services, held, "approve", by="ada", reason="known defect")
    with pytest.raises(ClaimsPipelineError, match="not held"):
        decisions.decide(pipeline.services, held, "reject", by="ada", reason="wrong file")


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ada", " "), ("ada", "x" * 501)], ids=["who", "why", "long"])
def test_a_decision_needs(pipeline: Pipeline, held: Dump, by: str, reason: str) -> None:
    with pytest.raises(ClaimsPipelineError):
        decisions.decide(pipeline.services, held, "approve", by=by, reason=reason)


def test_decisions_cannot_be_changed(pipeline: Pipeline, held: Dump) -> None:
    decisions.decide(pipeline.services, held, "approve", by="ada", reason="known defect")
    with pipeline.services.owner_database() as connection, pytest.raises(errors.RaiseException, match="append-only"):
        connection.execute("delete from ops.decision")
