"""The dashboard's connection: bi_reader, nothing besides `bi`, and errors that a page can explain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg import sql

from claims_pipeline.dashboard.reading import URL_VARIABLE, NotTheReaderError, NotThereError, UnreachableError, ask
from claims_pipeline.vocabulary import Role
from claims_pipeline_tests.fix_bi import Bi
from claims_pipeline_tests.fix_services import as_role

Point = Callable[[str], None]


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Point:
    """Points the dashboard at a URL."""
    return lambda url: monkeypatch.setenv(URL_VARIABLE, url)


def test_it_reads_as_bi_reader(bi: Bi, point: Point) -> None:
    point(bi.reader_url)
    assert ask(sql.SQL("select current_user as who"))["who"].tolist() == ["bi_reader"]


@pytest.mark.parametrize(
    "view", ["ops.dump", "ops.load", "va_form526.form526_submissions", "history.va_form526__form526_submissions"]
)
def test_it_can_read_nothing_but_bi(bi: Bi, point: Point, view: str) -> None:
    point(bi.reader_url)
    with pytest.raises(NotThereError):
        ask(sql.SQL("select count(*) from {}").format(sql.Identifier(*view.split("."))))


def test_it_cannot_write(bi: Bi, point: Point) -> None:
    point(bi.reader_url)
    with pytest.raises(Exception, match="read-only"):
        ask(sql.SQL("create temporary table t (a int)"))


@pytest.mark.parametrize("role", [Role.LOADER, Role.ANALYST, Role.OWNER])
def test_a_login_that_can_read_more_is_refused(bi: Bi, point: Point, role: Role) -> None:
    point(as_role(bi.owner_url, role))
    with pytest.raises(NotTheReaderError):
        ask(sql.SQL("select 1"))


def test_a_superuser_is_refused(bi: Bi, point: Point) -> None:
    point(bi.owner_url)
    with pytest.raises(NotTheReaderError):
        ask(sql.SQL("select 1"))


def test_a_server_that_does_not_answer_is_said_to(point: Point) -> None:
    point("postgresql://bi_reader@127.0.0.1:1/claims")  # nothing listens on port 1
    with pytest.raises(UnreachableError, match="does not answer"):
        ask(sql.SQL("select 1"))


def test_no_error_holds_the_password(bi: Bi, point: Point) -> None:
    point(bi.reader_url.replace("bi_reader:", "bi_reader:wrong-secret"))
    with pytest.raises(UnreachableError) as caught:
        ask(sql.SQL("select 1"))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_connection_that_was_lost_is_made_again(bi: Bi, point: Point) -> None:
    point(bi.reader_url)
    ask(sql.SQL("select 1 as before"))
    with bi.owner() as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bi_reader'")
    assert ask(sql.SQL("select 1 as after"))["after"].tolist() == [1]


def test_an_answer_to_one_login_is_not_shown_to_another(bi: Bi, empty_bi: Bi, point: Point) -> None:
    count = sql.SQL("select count(*) as dumps from bi.feed_days")
    point(bi.reader_url)
    full = ask(count)["dumps"].tolist()
    point(empty_bi.reader_url)
    assert (full > [0], ask(count)["dumps"].tolist()) == (True, [0])
