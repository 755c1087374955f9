"""A person who is erased is gone from everything but the raw archive, and nobody else is."""

from __future__ import annotations

import hashlib
import json

import pytest

from claims_pipeline.erasure import Request, erase, tokens_of
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.frames.rows import rejects_in
from claims_pipeline.frames.withheld import opened
from claims_pipeline.landing import s3 as landing
from claims_pipeline.landing.s3_files import object_reader
from claims_pipeline_tests.fix_erasure import INDICI_FEEDS, Claims, count_where, load_practices
from claims_pipeline_tests.fix_pipeline import SUBMISSIONS, Pipeline

ASKED = {"by": "ada", "reason": "asked to be forgotten"}


@pytest.fixture
def claims(pipeline: Pipeline) -> Claims:
    return Claims(pipeline)


def everything(pipeline: Pipeline) -> tuple[dict[str, list[str]], list[str]]:
    """All rows of all tables of the product, as text, and all objects of the archive."""
    named = pipeline.rows(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname in ('ops', 'va_form526', 'history') order by 1"
    )
    with pipeline.services.owner_database() as connection:
        rows = {
            name: sorted(text for (text,) in connection.execute(f"select t::text from {name} t")) for (name,) in named
        }
    bucket = pipeline.services.settings.archive_bucket
    return rows, [item.key for page in landing.list_objects(pipeline.s3, bucket, "") for item in page]


def sealed_contents(pipeline: Pipeline) -> str:
    """All that lies sealed in quarantine and beside frames, opened."""
    ring, texts = pipeline.services.keys.quarantine, []
    rows = pipeline.rows("select feed, row_number, key_version, sealed from ops.quarantine where sealed <> ''")
    texts += [json.dumps(content) for content in opened([tuple(row) for row in rows], ring=ring)]
    bucket = pipeline.services.settings.archive_bucket
    for page in landing.list_objects(pipeline.s3, bucket, "validated/"):
        for item in page:
            if item.key.endswith("rejects.parquet"):
                feed = "/".join(item.key.split("/")[1:3])
                for batch in rejects_in(object_reader(pipeline.s3, bucket=bucket, key=item.key)):
                    found = [(feed, r["row_number"], r["key_version"], r["sealed"]) for r in batch.to_pylist()]
                    texts += [json.dumps(content) for content in opened(found, ring=ring)]
    return "\n".join(texts)


def test_a_person_is_gone_from_all_tables_histories_and_frames_and_nobody_else_is(claims: Claims) -> None:
    claims.load()
    person = claims.somebody()
    before, others = claims.rows_of(person), claims.others(person)
    assert {"table of form526_submissions", "table of form526_contentions"} <= set(before)
    done = claims.erase(person.token)
    assert claims.rows_of(person) == {}
    assert claims.in_frames(person) == []
    assert claims.others(person) == others
    assert sum(count for name, count in done.rows.items() if "/" in name) == sum(before.values())


def test_frames_that_no_dump_names_any_more_go_too(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    person, pipeline = claims.somebody(), claims.pipeline
    bucket = pipeline.services.settings.archive_bucket
    for key in claims.in_frames(person):
        folder, _, name = key.rpartition("/")
        pipeline.s3.copy_object(Bucket=bucket, Key=f"{folder}-old/{name}", CopySource={"Bucket": bucket, "Key": key})
    claims.erase(person.token)
    assert claims.in_frames(person) == []


def test_a_dry_run_counts_the_same_and_changes_nothing(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    person, before = claims.somebody(), everything(claims.pipeline)
    foretold = claims.erase(person.token, dry_run=True)
    assert everything(claims.pipeline) == before
    done = claims.erase(person.token)
    assert (foretold.rows, foretold.objects) == (done.rows, done.objects)


def test_sealed_rows_of_the_person_go_and_those_of_others_stay(claims: Claims) -> None:
    claims.load(days=1, rows=60, dirt=0.25)
    pipeline = claims.pipeline
    rows = [json.loads(line) for line in sealed_contents(pipeline).splitlines()]
    icn = next(row["icn"] for row in rows if row.get("icn") and "V" in row["icn"])
    (token,) = tokens_of(pipeline.services, sender="va_form526", family="icn", identifier=icn, **ASKED).values()
    ((before,),) = pipeline.rows("select count(*) from ops.quarantine")
    done = claims.erase(token)
    assert icn not in sealed_contents(pipeline)
    assert pipeline.rows("select count(*) from ops.quarantine") == [(before - done.rows["quarantine"],)]
    assert 0 < done.rows["quarantine"] < before


def test_who_when_and_why_are_in_the_audit_without_a_token(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    person = claims.somebody()
    done = claims.erase(person.token)
    ((number, sender, persons, rows, by, reason, text),) = claims.pipeline.rows(
        "select erasure_id, sender, persons, rows, requested_by, reason, e::text from ops.erasure e"
    )
    assert (number, sender, rows, by, reason) == (done.erasure_id, "va_form526", done.rows, *ASKED.values())
    assert hashlib.sha256(person.token.encode()).hexdigest() in persons
    assert person.token not in text


def test_the_raw_dumps_that_hold_the_person_are_listed_with_their_rows(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    person = claims.somebody()
    done = claims.erase(person.token)
    delivered = [int(row["id"]) for row in claims.delivered()]
    (submissions,) = [one for one in done.objects if one.feed == f"va_form526/{SUBMISSIONS}"]
    assert {delivered[number - 1] for number in submissions.rows} == person.submissions
    assert submissions.key is not None
    landing.head(claims.pipeline.s3, bucket=submissions.bucket, key=submissions.key)  # it stays


def test_dumps_whose_frames_are_gone_are_not_searched_unless_their_raw_bytes_are_read(claims: Claims) -> None:
    claims.load(days=2, rows=15)
    person = claims.somebody()
    bucket = claims.pipeline.services.settings.archive_bucket
    for page in landing.list_objects(claims.pipeline.s3, bucket, "validated/"):
        for item in page:
            claims.pipeline.s3.delete_object(Bucket=bucket, Key=item.key)
    without = claims.erase(person.token, dry_run=True)
    assert not any(one.searched for one in (*without.objects, *without.not_searched))
    read = claims.erase(person.token, search_raw=True)
    assert all(one.searched for one in read.objects)
    assert read.not_searched == ()


def test_a_token_that_nobody_has_finds_nothing_and_writes_nothing(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    before = everything(claims.pipeline)
    done = claims.erase("v1_" + "x" * 24)
    assert not done.found
    assert everything(claims.pipeline) == before


def test_a_login_of_several_persons_erases_nobody_unless_asked_to_follow(claims: Claims) -> None:
    claims.load(days=1, rows=40)
    claims_of = "select person_key from va_form526.form526_submissions where person_key is not null group by 1 limit 2"
    persons = [token for (token,) in claims.pipeline.rows(claims_of)]
    with claims.pipeline.services.owner_database() as connection:
        connection.execute(
            "update va_form526.form526_submissions set user_key = 'v1_shared00000000000000000000'"
            " where person_key = any(%s)", [persons],
        )  # fmt: skip
    login = Request("va_form526", ("v1_shared00000000000000000000", persons[0]), by="ada", reason="a test")
    with pytest.raises(ClaimsPipelineError, match="2 persons"):
        erase(claims.pipeline.flow, login, dry_run=False)
    claims.erase("v1_shared00000000000000000000", follow=True)
    assert all(claims.ids(token) == [] for token in persons)


def test_other_tokens_in_the_persons_rows_are_told_and_not_followed(claims: Claims) -> None:
    claims.load(days=1, rows=40)
    person = claims.somebody()
    logins = claims.pipeline.rows(
        f"select distinct user_key from va_form526.form526_submissions where person_key = '{person.token}'"
    )
    done = claims.erase(person.token)
    assert {login for (login,) in logins} <= set(done.other_tokens)
    registered = {values[0] for (values,) in claims.pipeline.rows("select values from ops.withheld where dataset = ''")}
    assert registered == {person.token}


def test_an_erasure_asks_for_a_reason(claims: Claims) -> None:
    with pytest.raises(ClaimsPipelineError, match="--reason"):
        erase(claims.pipeline.flow, Request("va_form526", ("v1_" + "x" * 24,), "ada", " "), dry_run=True)


def test_of_a_patient_all_that_practices_hold_goes_down_to_the_lines_of_invoices(pipeline: Pipeline) -> None:
    load_practices(pipeline)
    ((token, patient, practice, invoices),) = pipeline.rows(
        "select p.nhi_token, p.patient_id, p.practice_id, array_agg(distinct i.invoice_transaction_id)"
        " from indici.patients p join indici.invoices i using (patient_id, practice_id)"
        " join indici.invoice_details d using (invoice_transaction_id, practice_id)"
        " where p.nhi_token is not null group by 1, 2, 3 order by count(*) desc, 1 limit 1"
    )
    theirs = f"patient_id = {patient} and practice_id = '{practice}'"
    lines = f"invoice_transaction_id = any(array{invoices}::bigint[]) and practice_id = '{practice}'"
    others = count_where(pipeline, INDICI_FEEDS, f"({theirs}) is not true", "patient_id")
    assert count_where(pipeline, [f for f in INDICI_FEEDS if f.dataset == "invoice_details"], lines, "practice_id")
    erase(pipeline.flow, Request("indici", (token,), by="ada", reason="a test"), dry_run=False)
    assert count_where(pipeline, INDICI_FEEDS, theirs, "patient_id") == {}
    assert count_where(pipeline, INDICI_FEEDS, lines, "invoice_transaction_id") == {}
    assert count_where(pipeline, INDICI_FEEDS, f"({theirs}) is not true", "patient_id") == others


def test_tokens_are_those_that_the_tables_hold_and_the_question_is_kept_without_the_identifier(claims: Claims) -> None:
    claims.load(days=1, rows=15)
    person, services = claims.somebody(), claims.pipeline.services
    made = tokens_of(services, sender="va_form526", family="icn", identifier=f" {person.icn}\n", **ASKED)
    assert list(made.values()) == [person.token]
    with services.owner_database() as connection:
        ((kept,),) = connection.execute("select t::text from ops.token_request t").fetchall()
    assert "asked to be forgotten" in kept
    assert person.icn not in kept


@pytest.mark.parametrize(("family", "identifier"), [("icn", ""), ("surname", "x"), (f"{SUBMISSIONS}.state", "x")])
def test_what_has_no_token_is_refused_without_being_quoted(pipeline: Pipeline, family: str, identifier: str) -> None:
    with pytest.raises(ClaimsPipelineError) as caught:
        tokens_of(pipeline.services, sender="va_form526", family=family, identifier=identifier, **ASKED)
    assert "'x'" not in str(caught.value)
