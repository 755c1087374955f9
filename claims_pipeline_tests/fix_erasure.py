"""Fixtures: loaded dumps of both senders, one person in them, and every place where that person can be looked for.

Belongs here: whom to erase, and looking for them by means of the tests' own. Does not belong here: what is expected.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from claims_pipeline.catching_up import catch_up
from claims_pipeline.erasure import Erased, Request, erase
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.indici import SENDER as INDICI
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local.fake_sender import SenderPlan, generate_sender
from claims_pipeline.warehouse.ddl import history_of, table_of
from claims_pipeline_tests.fix_pipeline import FEEDS, Delivery, Pipeline, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

CHILDREN = {
    "form526_contentions": "submission_id",
    "form526_job_statuses": "form526_submission_id",
    "form526_uploads": "submission_id",
    "form526_submission_remediations": "form526_submission_id",
}
"""Datasets whose rows name a submission, and by which column."""


@dataclass
class Person:
    """Somebody who submitted.

    Attributes:
        token: of the person.
        icn: the identifier, as delivered.
        submissions: numbers of their submissions, by the delivered files: those in quarantine are among them.
    """

    token: str
    icn: str
    submissions: frozenset[int]


@dataclass
class Claims:
    """Three days of all feeds of the VA, loaded, and somebody in them who has rows in most of them."""

    pipeline: Pipeline
    delivery: Delivery = field(default_factory=dict)

    def load(self, *, days: int = 3, rows: int = 30, dirt: float = 0.05) -> None:
        """Deliver and load."""
        self.delivery = written(days=days, rows=rows, dirt=dirt)[1]
        self.pipeline.deliver(self.delivery)
        self.pipeline.catch_up()

    def somebody(self) -> Person:
        """The person with the most rows of contentions, job statuses and uploads."""
        named = " union all ".join(f"select {by} as id from va_form526.{name}" for name, by in CHILDREN.items())
        query = (
            "select person_key from va_form526.form526_submissions s join (" + named + ") c on c.id = s.id"
            " where person_key is not null group by 1 order by count(*) desc, 1 limit 1"
        )
        ((token,),) = self.pipeline.rows(query)
        known = self.ids(token)
        rows = list(self.delivered())
        (icn,) = {row["icn"].strip() for row in rows if row["id"] in map(str, known) and row["icn"]}
        numbers = {int(row["id"]) for row in rows if (row["icn"] or "").strip() == icn and row["id"].isdigit()}
        return Person(token, icn, frozenset({*numbers, *known}))

    def delivered(self) -> Iterator[dict[str, str]]:
        """Rows of submissions as delivered."""
        for key, body in self.delivery.items():
            if "/form526_submissions/" in key:
                yield from csv.DictReader(io.StringIO(body.decode(errors="replace"), newline=""))

    def ids(self, token: str) -> list[int]:
        """Numbers of the submissions of a person, in table and history."""
        query = (
            f"select id from va_form526.form526_submissions where person_key = '{token}'"
            f" union select id from history.va_form526__form526_submissions where person_key = '{token}'"
        )
        return [number for (number,) in self.pipeline.rows(query)]

    def erase(self, token: str, *, dry_run: bool = False, follow: bool = False, search_raw: bool = False) -> Erased:
        """Erase a person by one token."""
        request = Request("va_form526", (token,), "ada", "asked to be forgotten", follow, search_raw)
        return erase(self.pipeline.flow, request, dry_run=dry_run)

    def rows_of(self, person: Person, *, history: bool = True) -> dict[str, int]:
        """Rows of a person by table; only those that are there."""
        found = {}
        for dataset, feed in FEEDS.items():
            by = CHILDREN.get(dataset, "id")
            for name, table in (("table", table_of(feed)), ("history", history_of(feed))):
                if name == "history" and not history:
                    continue
                ids = ",".join(map(str, person.submissions))
                ((count,),) = self.pipeline.rows(f"select count(*) from {table.as_string(None)} where {by} in ({ids})")
                found[f"{name} of {dataset}"] = count
        return {name: count for name, count in found.items() if count}

    def others(self, person: Person) -> dict[str, list[str]]:
        """All rows of tables and history but those of a person, as text."""
        found = {}
        for dataset, feed in FEEDS.items():
            by = CHILDREN.get(dataset, "id")
            ids = ",".join(map(str, person.submissions))
            for table in (table_of(feed), history_of(feed)):
                name = table.as_string(None)
                rows = self.pipeline.rows(f"select t::text from {name} t where {by} not in ({ids}) order by 1")
                found[name] = [text for (text,) in rows]
        return found

    def in_frames(self, person: Person) -> list[str]:
        """Keys of validated frames with rows of a person, whatever the ledger says of them."""
        bucket = self.pipeline.services.settings.archive_bucket
        found = []
        for page in landing.list_objects(self.pipeline.s3, bucket, "validated/"):
            for item in page:
                if not item.key.endswith("rows.parquet"):
                    continue
                body = self.pipeline.s3.get_object(Bucket=bucket, Key=item.key)["Body"].read()
                dataset = item.key.split("/")[2]
                by = CHILDREN.get(dataset, "id")
                if person.submissions & set(pq.read_table(io.BytesIO(body))[by].to_pylist()):
                    found.append(item.key)
        return found


def practices(*, days: int = 2, rows: int = 40) -> Delivery:
    """Dumps of Indici, as Parquet."""
    dumps: Delivery = {}

    @contextmanager
    def kept(key: str) -> Iterator[BinaryIO]:
        body = io.BytesIO()
        yield body
        dumps[key] = body.getvalue()

    generate_sender(SenderPlan("indici", INDICI.start, days=days, rows=rows, dirt=0), kept)
    return dumps


def load_practices(pipeline: Pipeline) -> None:
    """Deliver and load dumps of Indici."""
    pipeline.deliver(practices())
    catch_up(pipeline.flow, INDICI)


def count_where(pipeline: Pipeline, feeds: Iterable[Feed], condition: str, needs: str) -> dict[str, int]:
    """Rows of tables and histories that meet a condition, of feeds that have a column; only those that are there."""
    found = {}
    for feed in feeds:
        if needs in {column.name for column in feed.stored}:
            for table in (table_of(feed), history_of(feed)):
                name = table.as_string(None)
                ((count,),) = pipeline.rows(f"select count(*) from {name} where {condition}")
                found[name] = count
    return {name: count for name, count in found.items() if count}


INDICI_FEEDS = feeds_of("indici")
