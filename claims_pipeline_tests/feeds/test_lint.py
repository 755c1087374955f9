"""The treatment gate: bad contracts do not pass, good ones do, and saying that one has looked is enough."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from claims_pipeline.feeds import all_feeds, all_reports
from claims_pipeline.feeds.contract import (
    BigInt,
    BiView,
    Boolean,
    Date,
    Declared,
    Drop,
    Feed,
    FeedModel,
    Keep,
    Pii,
    Reduce,
    Reduction,
    Sender,
    Subject,
    Text,
    Token,
    column,
)
from claims_pipeline.feeds.lint import lint
from claims_pipeline.feeds.reports import Report

SENDER = Sender("clinic", "A clinic", "Pacific/Auckland", "clinic/", dt.date(2025, 1, 1))
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "clinic.py"


def model(**columns: Declared) -> type[FeedModel]:
    """A model of a key and these columns; names that end in is, on and no are booleans, dates and numbers."""
    kinds = {"is": Boolean, "on": Date, "no": BigInt}
    names = {"id": BigInt} | {name: kinds.get(name.rpartition("_")[2], Text) for name in columns}
    body = {"__annotations__": names, "__module__": __name__, "id": column("Id", key=True), **columns}
    return type("Model", (FeedModel,), {"__doc__": "One row per visit.", **body})


def feed(
    dataset: str = "visits", *, bi: BiView | None = None, subject: Subject | None = None, **columns: Declared
) -> Feed:
    return Feed(SENDER, dataset, model(**columns), (), bi=bi, subject=subject)


def found(*feeds: Feed) -> list[tuple[str, str]]:
    return [(finding.rule, finding.place) for finding in lint(feeds)]


def rules(*feeds: Feed) -> set[str]:
    return {rule for rule, _ in found(*feeds)}


def test_every_contract_and_report_passes() -> None:
    assert lint(all_feeds(), all_reports()) == []


def test_the_example_of_a_third_sender_passes() -> None:
    spec = importlib.util.spec_from_file_location("clinic_example", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert lint(module.FEEDS) == []


@pytest.mark.parametrize(
    "name",
    [
        "full_name", "ssn", "birth_on", "dob_on", "email", "phone_no", "address", "zip", "note", "comments", "remark",
        "icn", "nhi_number", "edipi_no", "account_no", "ip", "lat_no", "long", "VisitNotes", "patient", "reason",
    ],
)  # fmt: skip
def test_a_column_with_a_personal_name_and_no_treatment_is_found(name: str) -> None:
    bounded: dict[str, Any] = {} if name.endswith(("_on", "_no")) else {"str_length": {"max_value": 9}}
    assert found(feed(**{name: column("A thing", **bounded)})) == [("name.personal", f"clinic/visits.{name}")]


def test_a_column_that_comes_under_a_personal_name_is_found() -> None:
    assert rules(feed(who=column("Who", aliases=["last_name"], isin=["a"]))) == {"name.personal"}


def test_a_yes_or_no_is_personal_by_a_sensitive_name_alone() -> None:
    assert rules(feed(pregnant_is=column("Pregnant"))) == {"name.personal"}
    assert rules(feed(email_sent_is=column("E-mail was sent"))) == set()


def test_text_that_nothing_bounds_is_found_whatever_its_name() -> None:
    assert rules(feed(colour=column("Colour", str_length={"min_value": 1}))) == {"text.unbounded"}


@pytest.mark.parametrize("bound", [{"isin": ["a"]}, {"str_matches": "^a$"}, {"str_length": {"max_value": 9}}])
def test_text_that_is_bounded_passes(bound: dict[str, Any]) -> None:
    assert rules(feed(colour=column("Colour", **bound))) == set()


def test_saying_that_one_has_looked_is_enough() -> None:
    looked = feed(ward_name=column("Ward's name", treatment=Keep()), colour=column("Colour", treatment=Keep()))
    assert rules(looked) == set()


def test_a_dropped_column_needs_no_look() -> None:
    assert rules(feed(full_name=column("Name", pii=Pii.DIRECT, treatment=Drop()))) == set()


def test_a_number_that_is_said_to_stand_for_a_person_passes() -> None:
    assert rules(feed(patient_no=column("Patient", pii=Pii.PSEUDONYMOUS))) == set()


def test_a_direct_identifier_cannot_be_kept_even_by_saying_so() -> None:
    kept = feed(code=column("Code", pii=Pii.DIRECT, treatment=Keep(), isin=["a"]), subject=SELF)
    assert rules(kept) == {"direct.kept"}


def test_the_parts_of_a_date_are_no_reduction_of_a_date_that_identifies() -> None:
    began = column("Began", pii=Pii.DIRECT, treatment=Reduce(Reduction.PARTIAL_DATE))
    assert rules(feed(began=began, subject=SELF)) == {"reduce.nothing"}


@pytest.mark.parametrize("to", [Reduction.YEAR, Reduction.MONTH])
def test_a_birth_date_is_reduced_to_a_year_that_hides_the_oldest(to: Reduction) -> None:
    assert rules(feed(born_on=column("Born", pii=Pii.DIRECT, treatment=Reduce(to)), subject=SELF)) == {"reduce.birth"}


def test_free_text_of_a_special_class_cannot_be_kept() -> None:
    said = column("Said", pii=Pii.SPECIAL, treatment=Keep())
    assert rules(feed(said=said, subject=SELF)) == {"special.free_text"}


SELF = Subject(of="people", by=("id",), key=("id",))


def test_personal_data_without_a_subject_is_found() -> None:
    assert rules(feed(day_on=column("Day", pii=Pii.QUASI, treatment=Keep()))) == {"subject.missing"}
    assert rules(feed(who=column("Who", pii=Pii.DIRECT, treatment=Token()))) == {"subject.missing"}


@pytest.mark.parametrize(
    ("shown", "declared"),
    [
        ("who_token", column("Who", pii=Pii.DIRECT, treatment=Token())),
        ("who", column("Who", pii=Pii.SPECIAL, treatment=Keep(), isin=["a"])),
        ("who", column("Who", pii=Pii.QUASI, treatment=Keep())),
    ],
    ids=["token", "special", "free text"],
)
def test_a_bi_group_that_tells_of_one_person_is_found(shown: str, declared: Declared) -> None:
    day = column("Day", pii=Pii.QUASI, treatment=Keep())
    bad = feed(who=declared, day_on=day, bi=BiView("day_on", (shown,)), subject=SELF)
    assert found(bad) == [("bi.group", f"clinic/visits.{shown}")]


@pytest.mark.parametrize(
    ("facts", "groups"),
    [
        ("select who from clinic.visits where said = 'x'", ()),
        ("select day, who_token from clinic.visits", ("who_token",)),
    ],
    ids=["special, in a condition", "token, as a group"],
)
def test_a_report_made_from_what_must_not_be_shown_is_found(facts: str, groups: tuple[str, ...]) -> None:
    said = column("Said", pii=Pii.SPECIAL, treatment=Keep(), isin=["x"])
    visits = feed(said=said, who=column("Who", pii=Pii.DIRECT, treatment=Token()), subject=SELF)
    report = Report(SENDER, "asked", "What is asked.", "visits", "visits", ("visits",), facts, groups)
    assert [finding.rule for finding in lint([visits], [report])] == ["bi.report"]


def token(**facts: Any) -> Declared:
    return column("Who", pii=Pii.DIRECT, treatment=Token(**facts))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"nhi": token()}, {"patient_nhi": token()}),
        ({"nhi": token(family="nhi")}, {"patient_nhi": token(family="nhi", upper=True)}),
        ({"login": token(into="who")}, {"mailbox": token(into="who")}),
    ],
    ids=["an identifier under two names", "upper case in one only", "one stored name of two families"],
)
def test_two_tokens_for_one_person_are_found(one: dict[str, Declared], other: dict[str, Declared]) -> None:
    assert rules(feed("visits", subject=SELF, **one), feed("people", subject=SELF, **other)) == {"token.family"}


def test_tokens_of_one_family_pass() -> None:
    shared = {"family": "nhi", "upper": True}
    visits, people = (
        feed("visits", subject=SELF, nhi=token(**shared)),
        feed("people", subject=SELF, his=token(**shared)),
    )
    assert rules(visits, people) == set()
