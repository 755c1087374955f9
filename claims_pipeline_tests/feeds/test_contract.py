"""A contract that contradicts itself does not import; what follows from a contract follows from it alone."""

from __future__ import annotations

import datetime as dt
import re

import pyarrow
import pytest

from claims_pipeline.feeds import all_feeds, feed_named, feeds_of
from claims_pipeline.feeds.contract import (
    BigInt,
    Budget,
    Calendar,
    Date,
    Document,
    Drop,
    Feed,
    FeedModel,
    Keep,
    Pii,
    Reduce,
    Reduction,
    Sender,
    Snapshot,
    Text,
    Token,
    column,
)

SENDER = Sender("clinic", "A clinic", "Pacific/Auckland", "clinic/", dt.date(2025, 1, 1))


class Visits(FeedModel):
    """One row per visit.

    More about it.
    """

    visit_id: BigInt = column("Visit", key=True, ge=1)
    person: Text = column("Person", pii=Pii.DIRECT, treatment=Token(family="person"))
    born: Date = column("Born on", pii=Pii.DIRECT, treatment=Reduce(Reduction.BIRTH_YEAR, into="birth_year"))
    began: Text = column("Began about", pii=Pii.QUASI, treatment=Reduce(Reduction.PARTIAL_DATE))
    notes: Text = column("Notes", pii=Pii.SPECIAL, treatment=Drop())


def _feed(**facts: object) -> Feed:
    return Feed(SENDER, "visits", Visits, (r"visits_(?P<stamp>\d{14})\.csv$",), **facts)  # type: ignore[arg-type]  # of any kind, wrong ones too


def test_an_empty_snapshot_is_never_usual() -> None:
    with pytest.raises(ValueError, match="clinic/visits: an empty snapshot would delete"):
        _feed(snapshot=Snapshot(), empty_is_usual=True)


def test_stored_columns_follow_from_treatments() -> None:
    stored = {c.name: c.arrow for c in _feed().stored}
    assert stored == {
        "visit_id": pyarrow.int64(),
        "person_token": pyarrow.string(),
        "birth_year": pyarrow.string(),
        "began_year": pyarrow.int16(),
        "began_month": pyarrow.int16(),
        "began_day": pyarrow.int16(),
    }


def test_a_feed_is_named_by_sender_and_dataset_and_titled_by_its_docstring() -> None:
    assert (_feed().name, _feed().title, _feed().key) == ("clinic/visits", "One row per visit.", ("visit_id",))


def test_a_personal_column_without_a_treatment_does_not_import() -> None:
    with pytest.raises(ValueError, match="says no treatment"):
        column("Name", pii=Pii.DIRECT)


@pytest.mark.parametrize(
    "facts",
    [{"version": "changed_at"}, {"unique": ("nothing",)}, {"document": Document("form", {})}],
    ids=["version", "unique", "document"],
)
def test_a_feed_that_names_a_column_which_its_model_lacks_does_not_import(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not in the model"):
        _feed(**facts)


def test_a_feed_without_a_key_does_not_import() -> None:
    class Keyless(FeedModel):
        """No key."""

        a: Text = column("A")

    with pytest.raises(ValueError, match="key=True"):
        Feed(SENDER, "keyless", Keyless, ())


def test_two_columns_stored_under_one_name_do_not_import() -> None:
    class Doubled(FeedModel):
        """Twice the same."""

        a: BigInt = column("A", key=True)
        b: Text = column("B", pii=Pii.DIRECT, treatment=Token(into="a"))

    with pytest.raises(ValueError, match="stored under one name"):
        Feed(SENDER, "doubled", Doubled, ())


def test_a_check_on_a_dropped_column_does_not_import_since_it_could_never_run() -> None:
    class Unread(FeedModel):
        """Checks what is never read."""

        a: BigInt = column("A", key=True)
        b: Text = column("B", pii=Pii.DIRECT, treatment=Drop(), str_matches="x")

    with pytest.raises(ValueError, match="never read"):
        Feed(SENDER, "unread", Unread, ())


def test_the_fingerprint_changes_with_a_rule_and_with_a_treatment_and_with_nothing_else() -> None:
    class Changed(FeedModel):
        """One row per visit."""

        visit_id: BigInt = column("Visit", key=True, ge=2)

    class Original(FeedModel):
        """One row per visit."""

        visit_id: BigInt = column("Visit", key=True, ge=1)

    class Kept(FeedModel):
        """One row per visit."""

        visit_id: BigInt = column("Visit", key=True, ge=1, pii=Pii.PSEUDONYMOUS, treatment=Keep())

    prints = [Feed(SENDER, "visits", model, ()).fingerprint for model in (Original, Changed, Kept)]
    assert len(set(prints)) == 3
    assert _feed().fingerprint == _feed().fingerprint


def test_the_larger_limit_of_a_budget_counts() -> None:
    budget = Budget(rows=10, share=0.1)
    assert budget.allows(rejected=10, read=20)
    assert not budget.allows(rejected=11, read=20)
    assert budget.allows(rejected=100, read=1_000)
    assert not budget.allows(rejected=101, read=1_000)


def test_a_calendar_expects_its_weekdays() -> None:
    weekdays = Calendar(weekdays=(1, 2, 3, 4, 5))
    assert weekdays.expects(dt.date(2026, 11, 20))
    assert not weekdays.expects(dt.date(2026, 11, 21))


def test_every_feed_is_found_by_its_name_and_sender() -> None:
    assert {feed.name for feed in feeds_of("va_form526")} == {
        f"va_form526/form526_{name}"
        for name in ("submissions", "contentions", "job_statuses", "uploads", "submission_remediations")
    }
    with pytest.raises(KeyError, match="known: indici/"):
        feed_named("va_form526/nothing")


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_no_direct_identifier_or_secret_is_stored_as_it_is(feed: Feed) -> None:
    kept = {c.name for c in feed.columns if isinstance(c.facts.treatment, Keep)}
    direct = {c.name for c in feed.columns if c.facts.pii is Pii.DIRECT}
    assert not kept & direct
    free_text = re.compile(r"(first|last|middle|family|full)_name|ssn|email|phone|bank|json|message|note|lifecycle")
    assert not {name for name in kept if free_text.search(name)}


def test_the_minimum_header_of_submissions_is_the_one_that_the_va_exports() -> None:
    required = {c.name for c in feed_named("va_form526/form526_submissions").columns if c.facts.required}
    assert required == {  # SUBMISSION_ATTRS of vets-api's export, and id (feeds.md 1.9, 2.2), less what 2.2 leaves out
        "id", "saved_claim_id", "submitted_claim_id", "user_uuid", "submit_endpoint", "aasm_state", "workflow_complete",
        "backup_submitted_claim_status", "created_at", "updated_at",
    }  # fmt: skip
