"""The data dictionary says what the contracts say: every column, its treatment, its readers; and quotes nothing raw."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from html.parser import HTMLParser

import pytest

from claims_pipeline.dictionary import dictionary, page, pages
from claims_pipeline.dictionary.content import ColumnEntry, DatasetEntry
from claims_pipeline.feeds import all_feeds, all_reports
from claims_pipeline.feeds.contract import (
    BigInt,
    Boolean,
    Drop,
    Feed,
    FeedModel,
    Keep,
    Money,
    Pii,
    Sender,
    Source,
    Text,
    Token,
    column,
)

ALL = dictionary(all_feeds(), all_reports())
DATASETS = {d.name: d for sender in ALL.senders for d in sender.datasets}


def of(dataset: str, name: str) -> ColumnEntry:
    return next(c for c in DATASETS[dataset].columns if c.name == name)


def names(dataset: DatasetEntry) -> list[str]:
    return [c.name for c in dataset.columns] + [name for _, columns in dataset.never_read for name, _ in columns]


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_every_column_of_a_contract_is_told_once(feed: Feed) -> None:
    assert sorted(names(DATASETS[feed.name])) == sorted(c.name for c in feed.columns)


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_every_stored_column_is_told_with_its_class(feed: Feed) -> None:
    told = [(s.name, s.pii) for c in DATASETS[feed.name].columns for s in c.stored]
    assert told == [(s.name, s.pii.name.lower()) for s in feed.stored]


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_every_dataset_says_where_its_layout_comes_from(feed: Feed) -> None:
    assert dict(DATASETS[feed.name].facts)["source"] != "not said"


def test_a_token_is_told_with_its_family_and_readers() -> None:
    (stored,) = of("va_form526/form526_submissions", "icn").stored
    assert (of("va_form526/form526_submissions", "icn").treatment, stored.seen_by) == ("token of icn", "analyst")


def test_what_is_special_after_treatment_is_seen_by_nobody() -> None:
    (stored,) = of("va_form526/form526_submissions", "has_form0781").stored
    assert stored.seen_by == "nobody"


def test_a_group_of_a_report_is_counted_in_bi() -> None:
    (stored,) = of("va_form526/form526_submissions", "mailing_state").stored
    assert stored.seen_by == "analyst, bi (counts)"


def test_what_is_never_read_is_told_by_class() -> None:
    never = dict(DATASETS["va_form526/form526_submissions"].never_read)
    assert ("ssn", "Social security number") in never["direct"]
    assert ("form_json", "The form as submitted") in never["special"]


def test_a_column_of_a_public_source_is_told_apart_from_a_proposal() -> None:
    found = [of("va_form526/form526_submissions", name).source for name in ("aasm_state", "mailing_zip")]
    assert found == ["published", "proposal"]


def test_rules_are_said_in_words() -> None:
    rules = of("va_form526/form526_submissions", "submit_endpoint").rules
    assert rules == (
        "required in the header",
        "also spelled 0 for evss, 1 for claims_api, 2 for benefits_intake_api",
        "evss, claims_api, benefits_intake_api",
    )


def test_every_column_is_counted_by_what_becomes_of_it() -> None:
    counted = {s.name: sum(f.keep + f.token + f.reduce + f.drop for f in s.fates) for s in ALL.senders}
    assert counted == {s.name: sum(len(f.columns) for f in all_feeds() if f.sender.name == s.name) for s in ALL.senders}


def test_every_report_is_told() -> None:
    told = {report.name for sender in ALL.senders for report in sender.reports}
    assert told == {report.name for report in all_reports()}


def test_the_index_links_to_headings_that_exist() -> None:
    made = pages(ALL)
    for file, anchor in re.findall(r"\]\((\w+\.md)#([^)]+)\)", made["README.md"]):
        headings = re.findall(r"^## (.+)$", made[file], re.MULTILINE)
        assert anchor in {heading.replace("/", "") for heading in headings}


# ---------------------------------------------------------------------------------------------- what is odd

NASTY = '<script>alert(1)</script> | `a` *b* [c](d) & "quoted"'


class Odd(FeedModel):
    __doc__ = f"One row per {NASTY}."

    odd_id: BigInt = column(NASTY, key=True)
    mood: Text = column("Mood", isin=["a|b", "<i>"], raise_warning=True, aliases=["m|d"])
    said: Text = column(NASTY, pii=Pii.SPECIAL, treatment=Drop())
    who: Text = column("Who", pii=Pii.DIRECT, treatment=Token())
    is_well: Boolean = column("Well", pii=Pii.SPECIAL, treatment=Keep())
    price: Money = column("Price")


ODD = Feed(
    Sender("odd", f"Odd {NASTY}", "UTC", "odd/", dt.date(2025, 1, 1)), "odds", Odd, (), source=Source(NASTY, ("mood",))
)
MADE = dictionary([ODD], [])


class Tags(HTMLParser):
    """Names of tags, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.names: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "input", "br"):
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def test_the_page_nests_and_holds_one_script_whatever_a_contract_says() -> None:
    tags = Tags(page(MADE))
    assert (tags.opened, tags.names.count("script"), tags.names.count("i")) == ([], 1, 0)


def test_the_page_loads_nothing() -> None:
    text = page(ALL)
    assert Tags(text).sources == []
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_a_row_of_a_markdown_table_has_its_cells_whatever_a_contract_says() -> None:
    lines = [line for text in pages(MADE).values() for line in text.splitlines() if line.startswith("| ")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines}
    assert widths == {2, 3, 4, 6, 9}


def test_no_tag_of_a_contract_stands_in_markdown() -> None:
    assert not any("<script" in re.sub(r"\\<", "", text) for text in pages(MADE).values())


def test_no_page_says_that_rows_are_de_identified() -> None:
    for text in (page(ALL), *pages(ALL).values()):
        for found in re.finditer("de-identified", text):
            before = text[max(0, found.start() - 60) : found.start()].lower()
            assert re.search(r"nothing|do not make data", before)


def test_a_dataset_without_a_source_says_so() -> None:
    (sender,) = dictionary([dataclasses.replace(ODD, source=None)], []).senders
    assert dict(sender.datasets[0].facts)["source"] == "not said"
