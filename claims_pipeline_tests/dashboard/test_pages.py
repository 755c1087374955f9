"""The pages as Streamlit runs them, without a browser: what they say, also when there is nothing to show."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from claims_pipeline.cli.dashboard import command, environment
from claims_pipeline.dashboard import days, main, reports, words
from claims_pipeline.dashboard.reading import URL_VARIABLE
from claims_pipeline.dashboard.reports import GRAINS, Report, Selection
from claims_pipeline.feeds import all_feeds, all_reports
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.local import LocalServices
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.fix_bi import DAYS, REPORTS, Bi
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database

TODAY = dt.datetime.now(dt.UTC).date()
_SECONDS = 60


def sender_page(sender: str) -> None:
    """A page of its own, since AppTest opens none but the first."""
    import datetime

    from claims_pipeline.dashboard.pages import show_sender
    from claims_pipeline.dashboard.reports import catalogue

    show_sender(sender, sender, catalogue(), today=datetime.datetime.now(datetime.UTC).date())


def about_page() -> None:
    import datetime

    from claims_pipeline.dashboard.pages import show_about
    from claims_pipeline.dashboard.reports import catalogue

    show_about(catalogue(), today=datetime.datetime.now(datetime.UTC).date())


def open_first() -> AppTest:
    return AppTest.from_file(str(Path(main.__file__)), default_timeout=_SECONDS).run()


def open_sender(sender: str) -> AppTest:
    return AppTest.from_function(sender_page, args=(sender,), default_timeout=_SECONDS).run()


def said(page: AppTest) -> str:
    """All that the page says outside of charts."""
    kinds = ("title", "subheader", "caption", "markdown", "info", "warning")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(page, kind))


@pytest.fixture
def read(bi: Bi, monkeypatch: pytest.MonkeyPatch) -> Bi:
    monkeypatch.setenv(URL_VARIABLE, bi.reader_url)
    st.cache_data.clear()  # other tests have changed what was read a moment ago
    return bi


@pytest.fixture
def read_nothing(empty_bi: Bi, monkeypatch: pytest.MonkeyPatch) -> Bi:
    monkeypatch.setenv(URL_VARIABLE, empty_bi.reader_url)
    return empty_bi


def report_named(name: str) -> Report:
    return next(report for report in reports.catalogue() if report.name == name)


def test_the_first_page_is_about_operations(read: Bi) -> None:
    page = open_first()
    assert not page.exception
    assert [title.value for title in page.title] == ["Operations"]
    assert page.metric[0].value == f"{len(all_feeds())} of {len(all_feeds())}"


@pytest.mark.parametrize("sender", sorted({report.sender for report in REPORTS}))
def test_a_senders_page_shows_its_reports(read: Bi, sender: str) -> None:
    page = open_sender(sender)
    assert not page.exception
    wanted = {report.heading for report in REPORTS if report.sender == sender}
    assert {heading.value for heading in page.subheader} == wanted


def test_the_reports_that_contracts_declare_have_their_places(
    services: LocalServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue as a migration makes it, not as a fixture does."""
    with new_database(services) as owner_url:
        with connect(owner_url) as connection:
            migrate(connection, all_feeds())
        monkeypatch.setenv(URL_VARIABLE, as_role(owner_url, Role.BI_READER))
        names = {report.name for report in reports.catalogue()}
        page = open_sender(SENDER.name)
    assert set(words.ORDER) <= names
    assert (len(page.exception), len(page.info)) == (0, sum(r.sender == SENDER for r in all_reports()))


def test_about_explains_what_is_hidden(read: Bi) -> None:
    page = AppTest.from_function(about_page, default_timeout=_SECONDS).run()
    assert not page.exception
    assert "(small groups)" in said(page)


def test_before_the_first_delivery_operations_say_so(read_nothing: Bi) -> None:
    page = open_first()
    assert not page.exception
    assert "Nothing was delivered yet" in said(page)


def test_without_a_catalogue_a_senders_page_says_that_there_is_no_report(read_nothing: Bi) -> None:
    page = AppTest.from_function(_page_without_reports, default_timeout=_SECONDS).run()
    assert "No report yet" in said(page)


def _page_without_reports() -> None:
    import datetime

    from claims_pipeline.dashboard.pages import show_sender

    show_sender("va_form526", "VA", [], today=datetime.datetime.now(datetime.UTC).date())


def test_an_unreachable_database_is_explained_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql://bi_reader@127.0.0.1:1/claims")
    page = open_first()
    assert not page.exception
    assert "local status" in said(page)


def test_a_filter_that_matches_nothing_says_so(read: Bi) -> None:
    with read.owner() as connection:
        connection.execute("insert into bi.duplicate_submissions values ('2001-01-01', 'month', 'never', 20)")
    page = open_sender("va_form526")
    page.multiselect(key="duplicate_submissions_repetition").set_value(["never"]).run()
    assert "Nothing matches these filters" in said(page)


def test_a_report_that_is_older_than_today_says_how_old() -> None:
    old = Report("r", "R", "s", "rows", "day", (), 11, 1, TODAY - dt.timedelta(days=5), None)
    text, too_old = words.as_of(old, today=TODAY)
    assert ("5 days ago" in text, too_old) == (True, True)


def test_a_report_of_which_everything_is_hidden_is_not_shown_as_zero(read: Bi) -> None:
    with read.owner() as connection:
        connection.execute("delete from bi.clinic_visits")
    page = open_sender("clinic")
    assert not page.exception
    assert "not the same as zero" in said(page)


def test_parts_of_a_report_add_up_to_its_rows_whatever_the_period_drawn(read: Bi) -> None:
    report = report_named("submissions_per_day")
    everything = Selection(None, TODAY)
    total = int(reports.parts(report, everything)["counted"].sum())
    assert total == int(reports.rows(report, everything)["submissions"].sum())
    for group in report.groups:
        drawn = reports.by_period(report, everything, grain="month", group=group)["counted"].sum()
        coarser = reports.parts(report, everything).query("grain in ['year', 'all']")["counted"].sum()
        assert drawn + coarser == total


def test_merged_rows_without_a_period_are_in_no_bar(read: Bi) -> None:
    drawn = reports.by_period(report_named("time_to_remediation"), Selection(None, TODAY), grain="year", group=None)
    assert drawn["period"].notna().all()


@pytest.mark.parametrize(("length", "grain"), [(30, "day"), (190, "day"), (365, "month"), (None, "month")])
def test_long_periods_are_drawn_by_month(read: Bi, length: int | None, grain: str) -> None:
    assert words.default_grain(report_named("submissions_per_day"), days=length) == grain


def test_names_of_groups_are_values_and_never_sql(read: Bi) -> None:
    evil = "x') or true --%s"
    chosen = Selection(None, TODAY, {"outcome": (evil,)})
    assert reports.rows(report_named("submissions_per_day"), chosen).empty
    assert GRAINS[0] == "day"


def test_a_day_without_a_dump_is_missing_from_the_senders_first_day_on(read: Bi) -> None:
    now = dt.datetime.now(dt.UTC)
    since = now.date() - dt.timedelta(days=DAYS + 30)
    shown = days.with_missing(days.feed_days(since), days.feed_status(), all_feeds(), now=now, since=since)
    missing = shown[(shown["outcome"] == "missing") & (shown["sender"] == SENDER.name)]
    arrived = shown[(shown["outcome"] != "missing") & (shown["sender"] == SENDER.name)]
    assert len(missing) > 0
    assert missing["delivery_day"].min() >= arrived["delivery_day"].min()


def test_a_feed_that_never_came_is_said_to_be_late(read_nothing: Bi) -> None:
    fresh = days.freshness(days.feed_status(), all_feeds(), now=dt.datetime.now(dt.UTC))
    assert set(fresh["state"]) == {"Never delivered"}


def test_the_process_gets_no_setting_but_the_readers_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_DATABASE_URL", "postgresql://loader")
    monkeypatch.setenv("CLAIMS_TOKEN_KEYS", "v1:secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = {name for name in environment("postgresql://reader") if name.startswith(("CLAIMS_", "AWS_", "DAGSTER_"))}
    assert found == {URL_VARIABLE}


def test_the_url_is_no_argument_of_the_process() -> None:
    assert not [word for word in command(host="127.0.0.1", port=8501) if "postgres" in word]


def test_no_usage_statistics_are_sent() -> None:
    assert "--browser.gatherUsageStats=false" in command(host="127.0.0.1", port=8501)
