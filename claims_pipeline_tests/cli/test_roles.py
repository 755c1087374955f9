"""`claims-pipeline roles` on a real database."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import CodeLocation

QUERY = "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid where m.member = %s::regrole"


@pytest.fixture
def login(location: CodeLocation) -> Iterator[str]:
    """The name of a login that does not exist yet."""
    name = f"l_{secrets.token_hex(6)}"
    yield name
    with location.database() as connection:
        connection.execute(f"drop role if exists {name}".encode())


def test_it_tells_who_may_do_what(location: CodeLocation) -> None:
    found = call_json("roles")
    of_bi = {
        (one["schema"], one["kind"], *one["privileges"]) for one in found["grants"] if one["grantee"] == "bi_reader"
    }
    assert {("bi", "schema", "USAGE"), ("bi", "view", "SELECT")} <= of_bi
    assert found["undecided"] == []


def test_it_is_a_table_for_people(location: CodeLocation) -> None:
    shown = call("roles")
    assert (shown.exit_code, "claims_analyst" in shown.stdout) == (0, True)


def test_a_login_is_a_member_of_its_role(location: CodeLocation, login: str) -> None:
    assert call("roles", "add", login, "--as", "claims_analyst").exit_code == 0
    with location.database() as connection:
        assert connection.execute(QUERY, [login]).fetchall() == [("claims_analyst",)]
    assert login in call_json("roles")["members"]["claims_analyst"]


def test_the_sql_alone_changes_nothing(location: CodeLocation, login: str) -> None:
    shown = call("roles", "add", login, "--as", "bi_reader", "--print")
    assert f'create role "{login}" login in role "bi_reader";' in shown.stdout
    with location.database() as connection, pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute(QUERY, [login])


def test_a_name_that_is_taken_is_an_error_in_one_line(location: CodeLocation) -> None:
    shown = call("roles", "add", "bi_reader", "--as", "claims_analyst")
    assert (shown.exit_code, "exists already" in shown.output) == (3, True)
