"""The whole way of dumps on real parts: what is in tables, quarantine and ledger at its end, and what is nowhere.

Without Dagster. The dumps are the fake sender's, and its manifests say what is expected.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds.contract import Drop, Pii, Token
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local import LocalServices
from claims_pipeline.local.fake_sender import Manifest, PlantedVerdict, special
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import NO_ROWS, NO_ROWS_AS_USUAL, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger, reports
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_pipeline import (
    FEEDS,
    FIRST,
    JOBS,
    SUBMISSIONS,
    UPLOADS,
    Delivery,
    Pipeline,
    only,
    pipeline_of,
    written,
)
from claims_pipeline_tests.fix_proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


# ------------------------------------------------------------------------------------------ three days


@dataclass(frozen=True)
class ThreeDays:
    """Three days of spoilt dumps after a catch-up, and all that was logged."""

    pipeline: Pipeline
    manifest: Manifest = field(repr=False)
    delivery: Delivery = field(repr=False)
    done: list[Dump] = field(repr=False)
    log: list[str] = field(repr=False)

    @property
    def filled(self) -> set[str]:
        """Keys of the dumps that hold rows: there is nothing to remediate on the first days."""
        return {dump.key for dump in self.manifest.dumps if dump.rows}


class _Kept(logging.Handler):
    """Keeps every line, with the text of exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="module")
def three_days(services: LocalServices, s3: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeDays]:
    manifest, delivery = written(days=3, rows=60, dirt=0.2)
    kept = _Kept()
    with pipeline_of(services, s3, tmp_path_factory.mktemp("flow")) as pipeline:
        pipeline.deliver(delivery)
        logging.getLogger().addHandler(kept)
        try:
            done = pipeline.catch_up()
        finally:
            logging.getLogger().removeHandler(kept)
        yield ThreeDays(pipeline, manifest, delivery, done, kept.lines)


def test_every_dump_with_rows_is_loaded(three_days: ThreeDays) -> None:
    assert {dump.key for dump in three_days.done if dump.status is DumpStatus.LOADED} == three_days.filled


def test_every_dump_without_rows_is_skipped_as_empty(three_days: ThreeDays) -> None:
    empty = {(dump.status, dump.verdict) for dump in three_days.done if dump.key not in three_days.filled}
    assert empty == {(DumpStatus.SKIPPED, DumpVerdict.EMPTY)}


def test_of_an_empty_dump_its_contract_says_whether_it_is_usual(
    three_days: ThreeDays, special_files: dict[str, Dump]
) -> None:
    reasons = {dump.dataset: dump.reason for dump in three_days.done if dump.verdict is DumpVerdict.EMPTY}
    assert reasons == {"form526_submission_remediations": NO_ROWS_AS_USUAL}
    assert special_files["header only"].reason == NO_ROWS


@pytest.mark.parametrize("dataset", FEEDS)
def test_the_table_has_the_rows_that_the_sender_expects(three_days: ThreeDays, dataset: str) -> None:
    assert len(three_days.pipeline.table(FEEDS[dataset])) == three_days.manifest.live[dataset]


@pytest.mark.parametrize("dataset", FEEDS)
def test_the_quarantine_has_what_was_planted_by_rule(three_days: ThreeDays, dataset: str) -> None:
    planted: Counter[str] = Counter()
    for dump in three_days.manifest.dumps:
        if dump.dataset == dataset:
            planted.update(dump.count(PlantedVerdict.QUARANTINED))
    found = three_days.pipeline.rows(
        f"select rule, count(*) from ops.quarantine, unnest(rules) rule where feed = '{FEEDS[dataset].name}' group by 1"
    )
    assert dict(found) == dict(planted)


def test_the_archive_has_the_bytes_that_were_delivered(three_days: ThreeDays) -> None:
    pipeline = three_days.pipeline
    for dump in three_days.done:
        assert dump.archive_key is not None
        archived = pipeline.s3.get_object(Bucket=pipeline.services.settings.archive_bucket, Key=dump.archive_key)
        assert archived["Body"].read() == three_days.delivery[dump.key]


def test_catching_up_again_finds_nothing_to_do(three_days: ThreeDays) -> None:
    before = three_days.pipeline.rows("select max(load_id) from ops.load")
    assert three_days.pipeline.catch_up() == []
    assert three_days.pipeline.rows("select max(load_id) from ops.load") == before


def canaries(delivery: Delivery) -> set[str]:
    """Every personal value of dumps that must not be kept in clear.

    Too short ones are left out, since they are found anywhere, and those with characters that are written in many ways.
    """
    found: set[str] = set()
    for key, body in delivery.items():
        feed = next(feed for name, feed in FEEDS.items() if f"/{name}/" in key)
        secret = [
            c.name for c in feed.columns if c.facts.pii >= Pii.DIRECT and isinstance(c.facts.treatment, Drop | Token)
        ]
        for row in csv.DictReader(io.StringIO(body.decode(errors="ignore"), newline="")):
            values = [(row.get(name) or "").strip() for name in secret]
            found |= {v for v in values if len(v) >= (9 if v.isdecimal() else 6) and not set(v) & set("'\"\\\r\n\t")}
    return found


def quoted(wanted: set[str], texts: Iterable[str]) -> int:
    """How many of the values stand in any of the texts; a number, since a test's output must not show them either."""
    whole = "\n".join(texts)
    return sum(value in whole for value in wanted)


def test_there_are_personal_values_to_be_found(three_days: ThreeDays) -> None:
    wanted, delivered = canaries(three_days.delivery), [b.decode(errors="ignore") for b in three_days.delivery.values()]
    count, found = len(wanted), quoted(wanted, delivered)
    assert count > 500
    assert found == count


@pytest.mark.parametrize("table", ["dump", "load", "quarantine", "message", "contract"])
def test_no_personal_value_is_in_the_ops_tables(three_days: ThreeDays, table: str) -> None:
    # Seals are random bytes, and seconds random digits: a short number may be found in them by chance.
    query = f"select ((to_jsonb(t) - 'sealed' - 'seconds') #- '{{validation,seconds}}')::text from ops.{table} t"
    leaked = quoted(canaries(three_days.delivery), [row[0] for row in three_days.pipeline.rows(query)])
    assert leaked == 0


def test_no_personal_value_is_in_the_tables_or_their_history(three_days: ThreeDays) -> None:
    texts = []
    for schema, table in three_days.pipeline.rows(
        f"select schemaname, tablename from pg_tables where schemaname in ('{SENDER.name}', 'history')"
    ):
        texts += [row[0] for row in three_days.pipeline.rows(f'select to_jsonb(t)::text from {schema}."{table}" t')]
    leaked = quoted(canaries(three_days.delivery), texts)
    assert leaked == 0


def test_no_personal_value_is_in_the_validated_frames(three_days: ThreeDays) -> None:
    pipeline, bucket = three_days.pipeline, three_days.pipeline.services.settings.archive_bucket
    texts = []
    for page in landing.list_objects(pipeline.s3, bucket, "validated/"):
        for item in page:
            body = pipeline.s3.get_object(Bucket=bucket, Key=item.key)["Body"].read()
            texts.append(repr(pq.read_table(io.BytesIO(body)).to_pylist()))
    frames = len(texts)
    assert frames == 2 * len(three_days.filled)
    leaked = quoted(canaries(three_days.delivery), texts)
    assert leaked == 0


def test_no_personal_value_is_in_the_log(three_days: ThreeDays) -> None:
    leaked = quoted(canaries(three_days.delivery), three_days.log)
    assert leaked == 0


def test_a_day_that_is_processed_again_changes_nothing(three_days: ThreeDays) -> None:
    pipeline, flow = three_days.pipeline, three_days.pipeline.flow
    before = pipeline.tables(), pipeline.rows("select count(*) from history.va_form526__form526_submissions")
    for feed in FEEDS.values():
        for dump in flow.dumps(feed, [FIRST + dt.timedelta(1)], everything=True):
            again = flow.load(flow.validate(flow.archive(dump, feed), feed), feed)
            assert again.status is dump.status
    after = pipeline.tables(), pipeline.rows("select count(*) from history.va_form526__form526_submissions")
    assert after == before


def test_days_loaded_in_reverse_order_end_in_the_same_tables(
    services: LocalServices, s3: S3Client, tmp_path: Path
) -> None:
    # Of two submissions with one claim number the first to come keeps it, so those are not spoilt here.
    delivery = written(days=3, rows=40, dirt=0.1)[1] | written(SUBMISSIONS, days=3, rows=40)[1]
    keys = sorted(delivery, key=lambda key: key.rpartition("_")[2])
    days = [keys[i : i + len(FEEDS)] for i in range(0, len(keys), len(FEEDS))]
    ends = []
    for order in (days, days[::-1]):
        with pipeline_of(services, s3, tmp_path) as pipeline:
            for day in order:
                pipeline.deliver({key: delivery[key] for key in day})
                pipeline.catch_up()
            ends.append(pipeline.tables())
    assert ends[0] == ends[1]


# ------------------------------------------------------------------------------------------ what a dump can be

SPECIAL: dict[str, tuple[Callable[[dt.date], tuple[str, bytes]], DumpStatus, DumpVerdict]] = {
    "no bytes": (special.zero_bytes, DumpStatus.SKIPPED, DumpVerdict.EMPTY),
    "header only": (special.header_only, DumpStatus.SKIPPED, DumpVerdict.EMPTY),
    "ciphertext": (special.ciphertext_column, DumpStatus.REFUSED, DumpVerdict.NEW),
    "missing column": (special.missing_required_column, DumpStatus.REFUSED, DumpVerdict.NEW),
    "no contract": (special.unknown_dataset, DumpStatus.SKIPPED, DumpVerdict.UNKNOWN),
    "noise": (special.not_a_csv, DumpStatus.REFUSED, DumpVerdict.UNREADABLE),
    "half a gzip": (special.truncated_gzip, DumpStatus.REFUSED, DumpVerdict.UNREADABLE),
    "column too many": (special.unknown_column, DumpStatus.LOADED, DumpVerdict.NEW),
}


@pytest.fixture(scope="module")
def special_files(
    services: LocalServices, s3: S3Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Dump]]:
    """What became of each special file, one a day, all in one catch-up."""
    files = {name: make(FIRST + dt.timedelta(i)) for i, (name, (make, _, _)) in enumerate(SPECIAL.items())}
    with pipeline_of(services, s3, tmp_path_factory.mktemp("special")) as pipeline:
        pipeline.deliver(dict(files.values()))
        done = {dump.key: dump for dump in pipeline.catch_up()}
        assert pipeline.catch_up() == []
        yield {name: done[key] for name, (key, _) in files.items()}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_file_gets_its_verdict(special_files: dict[str, Dump], name: str) -> None:
    _, status, verdict = SPECIAL[name]
    assert (special_files[name].status, special_files[name].verdict) == (status, verdict)


@pytest.mark.parametrize("name", [name for name, (_, status, _) in SPECIAL.items() if status is not DumpStatus.LOADED])
def test_a_special_file_that_is_not_loaded_says_why(special_files: dict[str, Dump], name: str) -> None:
    assert special_files[name].reason


def test_a_column_too_many_is_told_by_name(special_files: dict[str, Dump]) -> None:
    validation = special_files["column too many"].validation
    assert validation is not None
    assert validation["drift"] == ["added: favourite_colour"]


def test_a_refused_dump_leaves_no_row(pipeline: Pipeline) -> None:
    pipeline.deliver(dict([special.ciphertext_column(FIRST)]))
    pipeline.catch_up()
    assert pipeline.rows("select count(*) from ops.load") == [(0,)]


def test_a_dump_from_before_the_senders_first_day_is_refused_and_told(pipeline: Pipeline) -> None:
    early = SENDER.start - dt.timedelta(1)
    pipeline.deliver(dict([special.unknown_column(early)]))
    assert [dump.status for dump in pipeline.catch_up()] == [DumpStatus.REFUSED]


def test_the_same_file_again_is_resent_and_changes_nothing(pipeline: Pipeline) -> None:
    key, body = only(written(JOBS)[1])
    pipeline.deliver({key: body})
    pipeline.catch_up()
    before = pipeline.tables()
    pipeline.deliver_again(key, body)
    (resent,) = pipeline.catch_up()
    assert (resent.status, resent.verdict) == (DumpStatus.SKIPPED, DumpVerdict.RESENT)
    assert pipeline.tables() == before


def test_the_same_bytes_under_another_name_are_a_duplicate(pipeline: Pipeline) -> None:
    key, body = only(written(JOBS)[1])
    pipeline.deliver({key: body, key.replace("T05", "T07"): body})
    first, second = pipeline.catch_up()
    assert (first.verdict, first.status) == (DumpVerdict.NEW, DumpStatus.LOADED)
    assert (second.verdict, second.status, second.same_as) == (
        DumpVerdict.DUPLICATE,
        DumpStatus.SKIPPED,
        first.dump_id,
    )


def corrected(body: bytes) -> bytes:
    """The dump with another class of error in its first row, nothing else."""
    header, first, *rest = csv.reader(io.StringIO(body.decode(), newline=""))
    first[header.index("error_class")] = "Corrected"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, first, *rest])
    return text.getvalue().encode()


def test_a_superseding_file_corrects_the_table(pipeline: Pipeline) -> None:
    key, body = only(written(JOBS)[1])
    pipeline.deliver({key: body})
    pipeline.catch_up()
    pipeline.deliver_again(key, corrected(body))
    (dump,) = pipeline.catch_up()
    assert (dump.status, dump.verdict) == (DumpStatus.LOADED, DumpVerdict.SUPERSEDING)
    corrections = "select count(*) from va_form526.form526_job_statuses where error_class = 'Corrected'"
    assert pipeline.rows(corrections) == [(1,)]


def test_a_file_that_changes_between_listing_and_reading_is_taken_when_it_is_listed_again(pipeline: Pipeline) -> None:
    key, body = only(written(JOBS)[1])
    dump = pipeline.arrive({key: body})
    pipeline.deliver_again(key, corrected(body))
    changed = pipeline.flow.archive(dump, FEEDS[JOBS])
    assert (changed.status, changed.verdict) == (DumpStatus.SKIPPED, DumpVerdict.UNREADABLE)
    assert [(d.status, d.verdict) for d in pipeline.catch_up()] == [(DumpStatus.LOADED, DumpVerdict.NEW)]


def test_files_that_are_no_dumps_by_rule_are_passed_over(pipeline: Pipeline) -> None:
    pipeline.deliver({f"{SENDER.prefix}{JOBS}/_SUCCESS": b"", f"{SENDER.prefix}a.csv.tmp": b"x"})
    found = pipeline.flow.discover(SENDER)
    assert (found.listed, found.ignored, found.new) == (2, 2, 0)


# ------------------------------------------------------------------------------------------ over budget


@pytest.fixture
def held(pipeline: Pipeline) -> Dump:
    """A dump with more rejects than its budget allows."""
    pipeline.deliver(written(UPLOADS, rows=150, dirt=0.9)[1])
    (dump,) = pipeline.catch_up()
    return dump


def test_a_dump_over_its_budget_waits_for_a_person(pipeline: Pipeline, held: Dump) -> None:
    assert (held.status, held.verdict) == (DumpStatus.REFUSED, DumpVerdict.HELD)
    assert f"approve {held.dump_id}" in held.reason
    assert pipeline.table(FEEDS[UPLOADS]) == []


def test_a_dump_that_was_held_and_approved_is_loaded(pipeline: Pipeline, held: Dump) -> None:
    pipeline.settle(ledger.approve, held)
    (loaded,) = pipeline.catch_up()
    assert (loaded.status, loaded.approved_by) == (DumpStatus.LOADED, "ada")
    assert pipeline.table(FEEDS[UPLOADS])


def test_a_dump_that_was_held_and_rejected_stays_out(pipeline: Pipeline, held: Dump) -> None:
    pipeline.settle(ledger.reject, held)
    assert pipeline.catch_up() == []
    assert pipeline.table(FEEDS[UPLOADS]) == []


# ------------------------------------------------------------------------------------------ interrupted


@pytest.mark.parametrize("steps", [1, 2])
def test_a_dump_goes_on_from_the_step_that_it_had_come_to(pipeline: Pipeline, steps: int) -> None:
    manifest, delivery = written(JOBS)
    dump = pipeline.arrive(delivery)
    flow = pipeline.flow
    for step in (flow.archive, flow.validate)[:steps]:
        dump = step(dump, FEEDS[JOBS])
    assert [d.status for d in pipeline.catch_up()] == [DumpStatus.LOADED]
    assert len(pipeline.table(FEEDS[JOBS])) == manifest.live[JOBS]


def test_a_lost_connection_leaves_the_dump_open(
    pipeline: Pipeline, services: LocalServices, proxy_to: Callable[[str], Proxy]
) -> None:
    dump = pipeline.arrive(written(JOBS)[1])
    proxy = proxy_to(services.database_url)
    url = proxy.in_place_of(pipeline.services.database_url)
    behind = pipeline.services.settings.model_copy(update={"database_url": SecretStr(url)})
    flow = Flow(Services(behind, lambda: pipeline.s3), run_id="cut")
    proxy.refuse()
    with pytest.raises(Transient):
        flow.archive(dump, FEEDS[JOBS])
    proxy.heal()
    assert (
        flow.load(flow.validate(flow.archive(dump, FEEDS[JOBS]), FEEDS[JOBS]), FEEDS[JOBS]).status is DumpStatus.LOADED
    )


def test_an_archive_that_was_tampered_with_is_not_loaded(pipeline: Pipeline) -> None:
    key, body = only(written(JOBS)[1])
    pipeline.deliver({key: body})
    (dump,) = pipeline.catch_up()
    assert dump.archive_key is not None
    bucket = pipeline.services.settings.archive_bucket
    pipeline.s3.put_object(Bucket=bucket, Key=dump.archive_key, Body=corrected(body))
    flow = pipeline.flow
    again = flow.load(flow.validate(flow.archive(dump, FEEDS[JOBS]), FEEDS[JOBS]), FEEDS[JOBS])
    assert again.status is DumpStatus.REFUSED
    assert pipeline.rows("select count(*) from ops.load") == [(1,)]


def test_a_contract_that_the_database_forgot_is_loaded_from_the_code(pipeline: Pipeline) -> None:
    with pipeline.services.owner_database() as connection:
        connection.execute("delete from ops.contract")
        pipeline.flow.prepare()
        found = connection.execute("select fingerprint from ops.contract").fetchall()
    assert {row[0] for row in found} == {feed.fingerprint for feed in all_feeds()}


def test_a_database_that_was_not_migrated_is_refused(pipeline: Pipeline) -> None:
    with pipeline.services.owner_database() as connection:
        connection.execute("delete from ops.contract")
        connection.execute("alter table va_form526.form526_uploads drop column file_extension cascade")
    with pytest.raises(ClaimsPipelineError, match="claims-pipeline migrate"):
        pipeline.flow.prepare()


def test_progress_tells_every_row(pipeline: Pipeline) -> None:
    manifest, delivery = written(JOBS)
    dump = pipeline.arrive(delivery)
    told: list[int] = []
    flow = Flow(pipeline.services, run_id="test", progress=told.append)
    dump = flow.validate(flow.archive(dump, FEEDS[JOBS]), FEEDS[JOBS])
    told.clear()
    flow.load(dump, FEEDS[JOBS])
    assert told[-1] == manifest.dumps[0].rows


def test_the_checks_of_every_load_are_in_the_ledger(three_days: ThreeDays) -> None:
    names = {tuple(sorted(dump.checks)) for dump in three_days.done if dump.key in three_days.filled}
    assert names == {
        ("contract", "intact", "key_unique", "rejects_within_budget", "row_conservation", "volume_in_range")
    }


def test_the_report_of_every_dump_has_its_rejects_by_rule(three_days: ThreeDays) -> None:
    dump_ids = {dump.key: dump.dump_id for dump in three_days.done}
    with three_days.pipeline.services.database() as connection:
        for planted in three_days.manifest.dumps:
            told, _ = reports.dump_report(connection, dump_ids[planted.key])
            assert told.rejects == planted.count(PlantedVerdict.QUARANTINED)
