"""Whatever is done with the dumps that hold an erased person, the person does not come back."""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from pydantic import SecretStr

from claims_pipeline.erasure import Erased, Request, erase, erase_again, finish, tokens_of
from claims_pipeline.errors import SettingsError, Transient
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.flow.validating import REJECTS, ROWS
from claims_pipeline.frames import make_key_ring
from claims_pipeline.local import LocalServices
from claims_pipeline.rebuild import compare_with, rebuild, snapshot
from claims_pipeline.replay import replay
from claims_pipeline.services import Services
from claims_pipeline.undo import redo, undo
from claims_pipeline.upkeep import Kind, chores_of, prune
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.quarantine import Selection
from claims_pipeline_tests.fix_erasure import Claims, Person
from claims_pipeline_tests.fix_pipeline import FEEDS, FIRST, SUBMISSIONS, UPLOADS, Pipeline

WHY = {"by": "ada", "reason": "a test"}
AWAY = FIRST + dt.timedelta(days=30)


@pytest.fixture
def claims(pipeline: Pipeline) -> Claims:
    claims = Claims(pipeline)
    claims.load(days=2, rows=12)
    return claims


@pytest.fixture
def person(claims: Claims) -> Person:
    """Somebody who was there, and was erased."""
    person = claims.somebody()
    claims.erase(person.token)
    return person


def dumps(pipeline: Pipeline, dataset: str | None = None) -> list[Dump]:
    with pipeline.services.database() as connection:
        found = ledger.select(connection, "in_effect and (%s::text is null or dataset = %s)", [dataset, dataset])
    return sorted(found, key=lambda dump: dump.dump_id)


def holding(claims: Claims, person: Person) -> Dump:
    """The first dump of submissions that holds one of the person's."""
    numbers = {str(number) for number in person.submissions}
    for dump in dumps(claims.pipeline, SUBMISSIONS):
        if numbers & set(delivered(claims, dump.key).id):
            return dump
    raise AssertionError("the person is in no dump")


def is_away(claims: Claims, person: Person) -> bool:
    return (claims.rows_of(person), claims.in_frames(person)) == ({}, [])


def delivered(claims: Claims, key: str) -> pd.DataFrame:
    """A dump as delivered; a byte that is no UTF-8 may be in it."""
    return pd.read_csv(io.BytesIO(claims.delivery[key]), dtype=str, keep_default_na=False, encoding="latin-1")


def as_csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


# ------------------------------------------------------------------------------------------ the same dumps


def processed_again(claims: Claims) -> None:
    for dataset, feed in FEEDS.items():
        for dump in dumps(claims.pipeline, dataset):
            flow = claims.pipeline.flow
            assert flow.load(flow.validate(flow.archive(dump, feed), feed), feed).status is DumpStatus.LOADED


def sent_again(claims: Claims) -> None:
    """With other bytes, so that each takes the place of the one before."""
    for key, body in claims.delivery.items():
        claims.pipeline.deliver_again(key, body + b"\n")
    claims.pipeline.catch_up()


def undone_and_redone(claims: Claims) -> None:
    for dataset, feed in FEEDS.items():
        for dump in dumps(claims.pipeline, dataset):
            undo(claims.pipeline.flow, dump, feed, **WHY)
        with claims.pipeline.services.database() as connection:
            gone = ledger.select(connection, "status = 'undone' and dataset = %s", [dataset])
        for dump in gone:
            redo(claims.pipeline.flow, dump, feed, **WHY)


def merged_again_by_a_late_dump(claims: Claims) -> None:
    """Every dump of every feed once more under an earlier name: later ones are merged again from their frames."""
    for key, body in claims.delivery.items():
        claims.pipeline.deliver({key.replace("T05", "T04"): body + b"\n"})
    claims.pipeline.catch_up()


def replayed(claims: Claims) -> None:
    assert replay(claims.pipeline.flow, Selection(), dry_run=False)


WAYS = [processed_again, sent_again, undone_and_redone, merged_again_by_a_late_dump, replayed]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_person_does_not_come_back_when_dumps_are(
    claims: Claims, person: Person, way: Callable[[Claims], None]
) -> None:
    before = claims.others(person)
    way(claims)
    assert is_away(claims, person)
    assert {name: len(rows) for name, rows in claims.others(person).items() if "history" not in name} == {
        name: len(rows) for name, rows in before.items() if "history" not in name
    }


def test_rows_left_out_are_counted_as_filtered_and_as_erased(claims: Claims, person: Person) -> None:
    dump = holding(claims, person)
    flow, feed = claims.pipeline.flow, FEEDS[SUBMISSIONS]
    done = flow.load(flow.validate(dump, feed), feed)
    assert done.validation is not None
    assert done.validation["erased"] == done.validation["filtered"] > 0
    ((filtered,),) = claims.pipeline.rows(
        f"select rows_filtered from ops.load where dump_id = {dump.dump_id} order by load_id desc limit 1"
    )
    assert filtered == done.validation["filtered"]


def test_a_rebuild_from_the_archive_alone_makes_the_tables_without_the_person(
    claims: Claims, person: Person, database_url: str
) -> None:
    live = snapshot(claims.pipeline.services)
    rebuild(claims.pipeline.services, database_url, run_id="test", live=live)
    assert compare_with(claims.pipeline.services, database_url, live=live).summary == ""
    with connect(database_url) as connection:
        query = "select count(*) from va_form526.form526_submissions where person_key = %s"
        assert connection.execute(query, [person.token]).fetchone() == (0,)


# ------------------------------------------------------------------------------------------ new dumps


def away(key: str) -> str:
    """The same name of a later day."""
    return re.sub(r"dt=[0-9-]+/(.*)_[0-9]{8}T", rf"dt={AWAY}/\1_{AWAY:%Y%m%d}T", key)


def submitted_once_more(claims: Claims, person: Person, number: int) -> dict[str, bytes]:
    """A dump of a later day with one more submission of the person."""
    key = holding(claims, person).key
    frame = delivered(claims, key)
    row = frame[frame.id.isin([str(n) for n in person.submissions])].head(1)
    row = row.assign(id=str(number), saved_claim_id=str(number), submitted_claim_id="")
    return {away(key): as_csv(row)}


def upload_of(number: int) -> dict[str, bytes]:
    """A dump of a later day with one upload of a submission."""
    lines = (
        "submission_id,confirmation_code,attachment_id,file_name",
        f"{number},00000000-0000-4000-8000-000000000001,L015,scan.pdf",
        "",
    )
    return {f"526/{UPLOADS}/dt={AWAY}/{UPLOADS}_{AWAY:%Y%m%d}T050000Z.csv": "\n".join(lines).encode()}


def test_what_the_person_submits_later_is_left_out_with_all_that_belongs_to_it(claims: Claims, person: Person) -> None:
    claims.pipeline.deliver(submitted_once_more(claims, person, 77))
    claims.pipeline.catch_up()
    claims.pipeline.deliver(upload_of(77))
    (upload,) = claims.pipeline.catch_up()
    assert upload.validation is not None
    assert upload.validation["erased"] == 1
    assert is_away(claims, replace(person, submissions=person.submissions | {77}))


def test_a_row_that_came_before_the_one_that_says_whose_it_is_leaves_with_the_next_prune(
    claims: Claims, person: Person
) -> None:
    claims.pipeline.deliver(upload_of(77))
    claims.pipeline.catch_up()
    claims.pipeline.deliver(submitted_once_more(claims, person, 77))
    claims.pipeline.catch_up()
    orphan = replace(person, submissions=frozenset({77}))
    assert claims.rows_of(orphan) == {f"table of {UPLOADS}": 1}
    services = claims.pipeline.services
    chores = [chore for chore in chores_of(services) if chore.kind is Kind.ERASED]
    (done,) = prune(services, chores, apply=True, run_id="test", requested_by="ada")
    assert (done.error, done.items > 0) == ("", True)
    assert is_away(claims, orphan)


def test_a_row_without_the_token_under_an_erased_key_is_left_out(claims: Claims, person: Person) -> None:
    key = holding(claims, person).key
    frame = delivered(claims, key)
    mine = frame.id.isin([str(n) for n in person.submissions])
    frame = frame[mine].assign(icn="", user_uuid="another login")
    claims.pipeline.deliver({key.replace("T05", "T06"): as_csv(frame)})
    claims.pipeline.catch_up()
    assert is_away(claims, person)


# ------------------------------------------------------------------------------------------ databases that forgot


def forget(pipeline: Pipeline) -> None:
    """Make the database one from before the erasure, as a restored backup would be."""
    with pipeline.services.owner_database() as connection, connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("delete from ops.withheld")
        connection.execute("delete from ops.erasing")
        connection.execute("delete from ops.erasure")


def test_a_database_that_forgot_learns_from_the_archive_and_the_person_leaves_again(
    claims: Claims, person: Person
) -> None:
    forget(claims.pipeline)
    processed_again(claims)
    assert claims.rows_of(person)
    (foretold,) = erase_again(claims.pipeline.flow, by="ada", dry_run=True)
    assert claims.pipeline.rows("select count(*) from ops.withheld") == [(0,)]
    (done,) = erase_again(claims.pipeline.flow, by="ada")
    assert done.rows == foretold.rows
    assert is_away(claims, person)
    assert claims.pipeline.rows("select kind, requested_by from ops.erasure") == [("again", "ada")]
    assert erase_again(claims.pipeline.flow, by="ada") == []


# ------------------------------------------------------------------------------------------ at the same time


def test_a_dump_that_is_validated_while_the_person_is_erased_is_not_loaded_and_its_frames_go(claims: Claims) -> None:
    person, feed = claims.somebody(), FEEDS[SUBMISSIONS]
    done: list[Erased] = []

    def meanwhile(*_: object) -> None:
        if not done:
            done.append(claims.erase(person.token))

    flow = Flow(claims.pipeline.services, run_id="meanwhile", progress=meanwhile)
    with pytest.raises(Transient, match="validated again"):
        flow.validate(holding(claims, person), feed)
    assert (len(done), claims.rows_of(person), len(claims.in_frames(person))) == (1, {}, 1)
    assert finish(claims.pipeline.services).deleted
    assert is_away(claims, person)


def test_frames_that_were_validated_before_the_erasure_are_not_loaded_after_it(claims: Claims) -> None:
    person, feed = claims.somebody(), FEEDS[SUBMISSIONS]
    dump = holding(claims, person)
    validated = claims.pipeline.flow.validate(dump, feed)
    s3, bucket = claims.pipeline.s3, claims.pipeline.services.settings.archive_bucket
    keys = [f"{validated.validated_key}/{name}" for name in (ROWS, REJECTS)]
    old = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    claims.erase(person.token)
    after = claims.pipeline.flow.load(validated, feed)
    assert after.status is DumpStatus.VALIDATED
    for key, body in old.items():  # as for a run that has opened them, and waited for the lock
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert claims.pipeline.flow.load(validated, feed).status is DumpStatus.VALIDATED
    for key in old:
        s3.delete_object(Bucket=bucket, Key=key)
    assert is_away(claims, person)
    assert claims.pipeline.flow.load(after, feed).status is DumpStatus.LOADED
    assert is_away(claims, person)


# ------------------------------------------------------------------------------------------ killed


@pytest.fixture
def killed_at(claims: Claims, services: LocalServices) -> Callable[[Person, str], None]:
    """Lets a process of its own erase a person, and dies at a point of the way."""
    settings, access = claims.pipeline.services.settings, services.s3
    found = {"CLAIMS_S3_ACCESS_KEY_ID": access.access_key_id, "CLAIMS_S3_SECRET_ACCESS_KEY": access.secret_access_key}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        if value is not None and f"CLAIMS_{name.upper()}" not in found:
            found[f"CLAIMS_{name.upper()}"] = str(value)

    def erase_and_die(person: Person, point: str) -> None:
        command = [sys.executable, "-m", "claims_pipeline.cli", "erase", "--sender", SENDER.name, "--reason", "a test"]
        done = subprocess.run(
            [*command, "--token", person.token],
            env={**os.environ, **found, "CLAIMS_FAILPOINT": point},
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]

    return erase_and_die


def test_killed_before_the_commit_nothing_is_erased_and_a_repetition_does_it(
    claims: Claims, killed_at: Callable[[Person, str], None]
) -> None:
    person = claims.somebody()
    before = claims.rows_of(person)
    killed_at(person, "erase.rewritten")
    assert claims.rows_of(person) == before
    claims.erase(person.token)
    assert is_away(claims, person)


def test_killed_after_the_commit_old_frames_are_deleted_by_whoever_comes_next(
    claims: Claims, killed_at: Callable[[Person, str], None]
) -> None:
    person = claims.somebody()
    killed_at(person, "erase.committed")
    assert claims.rows_of(person) == {}
    assert claims.in_frames(person)
    assert finish(claims.pipeline.services).deleted
    assert is_away(claims, person)
    assert not finish(claims.pipeline.services).deleted


# ------------------------------------------------------------------------------------------ other keys


def with_token_keys(pipeline: Pipeline, *entries: str) -> Flow:
    settings = pipeline.services.settings.model_copy(update={"token_keys": SecretStr(",".join(entries))})
    return Flow(Services(settings, lambda: pipeline.s3), run_id="rotated")


def test_tokens_of_one_identifier_given_together_need_only_one_of_their_keys(claims: Claims) -> None:
    person, settings = claims.somebody(), claims.pipeline.services.settings
    assert settings.token_keys is not None
    old, new = settings.token_keys.get_secret_value(), make_key_ring().replace("v1:", "v2:")
    both = with_token_keys(claims.pipeline, old, new)
    made = tokens_of(both.services, sender=SENDER.name, family="icn", identifier=person.icn, **WHY)
    dump = holding(claims, person)
    erase(both, Request(SENDER.name, (",".join(made.values()),), by="ada", reason="a test"), dry_run=False)
    flow = with_token_keys(claims.pipeline, new)
    with flow.services.database() as connection:
        dump = ledger.get(connection, dump.dump_id)
    assert flow.load(flow.validate(dump, FEEDS[SUBMISSIONS]), FEEDS[SUBMISSIONS]).status is DumpStatus.LOADED
    assert is_away(claims, person)


def test_a_person_stays_out_under_new_keys_and_without_the_old_one_once_it_was_seen(
    claims: Claims, person: Person
) -> None:
    token_keys = claims.pipeline.services.settings.token_keys
    assert token_keys is not None
    old, new = token_keys.get_secret_value(), make_key_ring().replace("v1:", "v2:")
    feed, dump = FEEDS[SUBMISSIONS], holding(claims, person)
    with pytest.raises(SettingsError, match="made with key v1"):
        with_token_keys(claims.pipeline, new).validate(dump, feed)
    for ring in ((old, new), (new,)):
        flow = with_token_keys(claims.pipeline, *ring)
        with flow.services.database() as connection:
            dump = ledger.get(connection, dump.dump_id)
        flow.load(flow.validate(dump, feed), feed)
        made = tokens_of(flow.services, sender=SENDER.name, family="icn", identifier=person.icn, **WHY)
        assert set(claims.ids(made["v2"])) == set()
        assert is_away(claims, person)
