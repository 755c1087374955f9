"""Which role each part connects as: by settings, and embedded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from claims_pipeline.errors import SettingsError
from claims_pipeline.local import ensure_postgres, reset
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.vocabulary import Role

RUNS, OWNER, BI = (SecretStr(f"postgresql://{name}@127.0.0.1:9/w") for name in ("runs", "owner", "bi"))


def services(folder: Path, **settings: SecretStr) -> Services:
    return Services(Settings(_env_file=None, state_dir=folder, **settings))  # type: ignore[arg-type]  # of any kind


def test_each_part_has_its_own_url(tmp_path: Path) -> None:
    set_ = services(tmp_path, database_url=RUNS, owner_database_url=OWNER, bi_database_url=BI)
    urls = (set_.database_url, set_.owner_database_url, set_.bi_database_url)
    assert urls == tuple(url.get_secret_value() for url in (RUNS, OWNER, BI))


def test_without_an_owner_the_same_user_does_it_all(tmp_path: Path) -> None:
    assert services(tmp_path, database_url=RUNS).owner_database_url == RUNS.get_secret_value()


def test_the_dashboard_never_reads_as_who_loads(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CLAIMS_BI_DATABASE_URL"):
        _ = services(tmp_path, database_url=RUNS).bi_database_url


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services without settings: an embedded Postgres of the tests' own, started on first use."""
    folder = tmp_path_factory.mktemp("embedded")
    ensure_postgres(folder, durable=False)
    yield services(folder)
    reset(folder)


def user(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("select session_user").fetchone()
    assert row is not None
    return str(row[0])


def test_embedded_runs_and_readers_connect_as_themselves(embedded: Services) -> None:
    urls = (embedded.database_url, embedded.bi_database_url, embedded.embedded_url(Role.ANALYST))
    assert [user(url) for url in urls] == ["claims_loader", "bi_reader", "claims_analyst"]


def test_embedded_the_database_is_ready_for_the_first_command(embedded: Services) -> None:
    with embedded.database() as connection:
        assert connection.execute("select count(*) from ops.dump").fetchone() == (0,)


def test_embedded_another_process_gets_the_same_passwords(embedded: Services) -> None:
    assert services(embedded.settings.state_dir).database_url == embedded.database_url
